"""Images of kernels on disk: found by another process, and by no kernel that is another."""

import enum
import os
import subprocess
import sys
import textwrap
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from numba import cuda, types
from numba.cuda import extending

import kernels
from kernels import storage
from kernels.device.ptx import ptx
from kernels.runtime import images

CC = (8, 0)
VECTOR = types.Array(types.float32, 1, "C")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KERNELS_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gpu"


def made(source, options=None, **names):
    """The kernel of a source text, in a module with other names."""
    module = {"cuda": cuda, "np": np, "kernels": kernels, **names}
    exec(textwrap.dedent(source), module)
    return cuda.jit(module["kernel"], **options or {})


def key(source, options=None, signature=(VECTOR,), cc=CC, **names):
    return images.key(made(source, options, **names), signature, cc)


SCALE = """
    def kernel(x):
        i = cuda.grid(1)
        if i < x.size:
            x[i] *= factor
    """
CALL = """
    def kernel(x):
        x[0] = inner(x[0])
    """


def entries(folder):
    return sorted(folder.glob("*.o")) if folder.exists() else []


def stop_compiling(monkeypatch):
    def compiled(*_):
        raise AssertionError("a kernel is compiled")

    monkeypatch.setattr(images, "_compiled", compiled)


# --- what a key says ----------------------------------------------------------------------------------------


def test_same_kernel_has_the_same_key_wherever_it_stands():
    assert key(SCALE, factor=2) == key("\n\n# moved" + textwrap.dedent(SCALE), factor=2) is not None


def test_kernel_with_line_information_has_a_key_of_its_place():
    options = {"lineinfo": True}
    assert key(SCALE, options, factor=2) == key(SCALE, options, factor=2) is not None
    assert key(SCALE, options, factor=2) != key("\n" + textwrap.dedent(SCALE), options, factor=2)


@pytest.mark.parametrize("other", [3, 2.0, True, np.float32(2), np.int64(2), (2,), np.full(1, 2), types.float32])
def test_value_and_type_of_a_global_are_part_of_the_key(other):
    assert key(SCALE, factor=other) not in (None, key(SCALE, factor=2))


def test_code_is_part_of_the_key():
    sources = [SCALE.replace("factor", "2"), SCALE.replace("factor", "3"), SCALE.replace("factor", "2.0"),
               SCALE.replace("*=", "+=").replace("factor", "2"), SCALE.replace("grid(1)", "blockIdx.x")
               .replace("factor", "2")]  # fmt: skip
    keys = {key(source) for source in sources}
    assert len(keys) == len(sources)
    assert None not in keys


def test_closure_is_part_of_the_key():
    def kernel_of(factor):
        @cuda.jit
        def kernel(x):
            x[0] *= factor

        return images.key(kernel, (VECTOR,), CC)

    assert kernel_of(2) == kernel_of(2) is not None
    assert kernel_of(2) != kernel_of(3)


def test_device_functions_are_part_of_the_key_however_deep():
    def with_constant(c, **options):
        module = {"c": c}
        exec("def innermost(v):\n    return v + c\n", module)
        innermost = cuda.jit(device=True, **options)(module["innermost"])
        inner = cuda.jit(device=True)(lambda v: innermost(v) * 2)
        return key(CALL, inner=inner)

    assert with_constant(1) == with_constant(1) is not None
    assert with_constant(1) != with_constant(2)
    assert with_constant(1) != with_constant(1, fastmath=True)


def test_types_of_arguments_are_part_of_the_key():
    arrays = [types.Array(t, n, o, readonly=r) for t in (types.float32, types.float64) for n, o in ((1, "C"), (2, "F"))
              for r in (False, True)]  # fmt: skip
    kinds = [*arrays, types.int64, types.uint32, types.boolean, types.CPointer(types.float32),
             types.CPointer(types.float16), types.UniTuple(types.CPointer(types.int8), 2)]  # fmt: skip
    keys = {key(SCALE, signature=(kind,), factor=2) for kind in kinds}
    assert len(keys) == len(kinds)
    assert None not in keys


def test_options_and_compute_capability_are_part_of_the_key():
    options = [{}, {"fastmath": True}, {"opt": False}, {"max_registers": 32}, {"launch_bounds": 128}, {"lto": False},
               {"launch_bounds": (128, 2)}, {"forceinline": True}, {"lineinfo": True}]  # fmt: skip
    keys = {key(SCALE, each, factor=2) for each in options} | {key(SCALE, cc=(9, 0), factor=2)}
    assert len(keys) == len(options) + 1
    assert None not in keys


def test_settings_of_numba_are_part_of_the_key(monkeypatch):
    before = key(SCALE, factor=2)
    monkeypatch.setattr(images.config, "OPT", 0)
    assert key(SCALE, {"opt": True}, factor=2) != before


def test_versions_and_files_are_part_of_the_key(monkeypatch):
    before, found = key(SCALE, factor=2), images.environment()
    assert None not in found
    for k in range(len(found)):
        other = (*found[:k], found[k] + ".1", *found[k + 1 :])
        monkeypatch.setattr(images, "environment", lambda other=other: other)
        assert key(SCALE, factor=2) != before
    named = " ".join(found)
    assert all(name in named for name in ("numba ", "numba_cuda ", "llvmlite ", "numpy ", "nvvm ", "nvJitLink "))


def test_package_that_changed_under_a_process_keeps_nothing(monkeypatch):
    monkeypatch.setattr(images, "_IMPORTED", 0.0)
    images.environment.cache_clear()
    assert key(SCALE, factor=2) is None
    monkeypatch.undo()
    assert key(SCALE, factor=2) is not None


def test_enumerations_named_tuples_and_dtypes_are_part_of_the_key():
    source = SCALE.replace("factor", "Order.last.value")
    keys = {key(source, Order=enum.Enum("Order", {"last": k})) for k in (1, 2)}
    keys |= {key(SCALE, factor=np.dtype(name)) for name in ("f4", "f8")}
    assert len(keys) == 4
    assert None not in keys


def test_instructions_are_part_of_the_key():
    def with_text(text, result=types.float32):
        @ptx(text, result(types.float32))
        def inner(a):
            return a

        return key(CALL, inner=inner)

    keys = {with_text("rcp.approx.f32 {d}, {a};"), with_text("sqrt.approx.f32 {d}, {a};"),
            with_text("cvt.f64.f32 {d}, {a};", types.float64)}  # fmt: skip
    assert len(keys) == 3
    assert None not in keys
    assert with_text("rcp.approx.f32 {d}, {a};") in keys


def test_overloads_of_others_are_part_of_the_key():
    def with_constant(c):
        def inner(v):
            raise TypeError("for kernels")

        @extending.overload(inner)
        def _(v):
            return lambda v: v + c

        return key(CALL, inner=inner)

    assert with_constant(1) == with_constant(1) is not None
    assert with_constant(1) != with_constant(2)


def test_methods_of_others_are_part_of_the_key():
    source = """
        def kernel(x):
            x[0] = x.a_method_that_others_added()
        """
    before = key(source)

    @extending.overload_method(types.Array, "a_method_that_others_added")
    def _(x):
        return lambda x: x[1]

    assert key(source) not in (None, before)
    assert key(SCALE, factor=2) is not None


def test_functions_of_modules_are_part_of_the_key_though_these_have_one_another():
    def with_constant(c):
        one, two = ModuleType("one"), ModuleType("two")
        one.two, two.one = two, one
        exec(f"def scale(v):\n    return v * {c}\n", vars(two))
        two.scale = cuda.jit(device=True)(two.scale)
        return key("def kernel(x):\n    x[0] = one.two.scale(one.two.one.two.scale(x[0]))\n", one=one)

    assert with_constant(2) == with_constant(2) is not None
    assert with_constant(2) != with_constant(3)


def test_public_functions_are_known_by_name():
    source = """
        def kernel(x):
            x[0] = kernels.erf(x[0])
        """
    assert key(source) not in (None, key(source.replace("erf", "erfc")))
    assert key(CALL, inner=kernels.erf) not in (None, key(CALL, inner=kernels.erfc))


@pytest.mark.parametrize(
    "value", [object(), np.frompyfunc(abs, 1, 1), np.array([None])], ids=["object", "ufunc", "none"]
)
def test_kernel_that_names_what_cannot_be_compared_has_no_key(value):
    assert key(SCALE, factor=value) is None


def test_kernel_that_names_a_list_within_itself_has_no_key():
    factor = [2]
    assert key(SCALE, factor=factor) is not None
    factor.append(factor)
    assert key(SCALE, factor=factor) is None


def test_every_kernel_of_this_package_has_a_key():
    def of(pair):
        return [images.key(kernel, signature, CC) for loop in pair.loops for _, kernel, signature in pair.kernels(loop)]

    found = {pair.name: of(pair) for pair in kernels.REGISTRY.values() if pair.family == "elementwise"}
    assert [name for name, keys in found.items() if None in keys] == []
    # Functions whose loops share keys compute the same: positive, floor and ceil of integers.
    assert len({k for keys in found.values() for k in keys}) > 0.8 * sum(map(len, found.values()))


# --- images -------------------------------------------------------------------------------------------------


def test_kept_image_is_found_without_compiling(folder, monkeypatch):
    image = images.image(made(SCALE, factor=2), (VECTOR,), CC)
    assert image.cubin.startswith(b"\x7fELF")
    assert image.entry.encode() in image.cubin
    assert not image.cooperative
    assert image.carveout is None
    assert len(entries(folder)) == 1
    stop_compiling(monkeypatch)
    assert images.image(made(SCALE, factor=2), (VECTOR,), CC) == image
    with pytest.raises(AssertionError, match="compiled"):
        images.image(made(SCALE, factor=3), (VECTOR,), CC)


def test_damaged_image_is_compiled_again(folder):
    images.image(made(SCALE, factor=2), (VECTOR,), CC)
    (entry,) = entries(folder)
    whole = entry.read_bytes()
    entry.write_bytes(whole[: len(whole) // 2])
    with pytest.warns(storage.CacheWarning, match="damaged"):
        image = images.image(made(SCALE, factor=2), (VECTOR,), CC)
    assert storage.get(folder, entry.stem)[1] == image.cubin


def test_cache_that_is_off_compiles_and_keeps_nothing(folder, monkeypatch):
    monkeypatch.setattr(storage, "LIMIT", 0)
    assert images.image(made(SCALE, factor=2), (VECTOR,), CC).cubin.startswith(b"\x7fELF")
    assert entries(folder) == []


def test_kernel_without_a_key_is_compiled_and_not_kept(folder):
    kernel = made(SCALE, factor=2, grid=object())  # a global with the name of an attribute is taken to be meant, too
    assert images.key(kernel, (VECTOR,), CC) is None
    assert images.image(kernel, (VECTOR,), CC).cubin.startswith(b"\x7fELF")
    assert entries(folder) == []


@pytest.mark.parametrize("cc", [(7, 5), (9, 0), (10, 0)])
def test_image_is_of_the_architecture_that_numba_compiles_for(cc):
    from kernels import inspect

    kernel = made(SCALE, factor=2)
    image = images.image(kernel, (VECTOR,), cc)
    report = inspect.compile(kernel, (VECTOR,), cc)
    assert image.cubin[48:52] == report.cubin[48:52]  # the ELF header's flags name it
    assert inspect._machine_code(image.cubin) == inspect._machine_code(report.cubin)


def test_registers_that_an_option_allows_are_all_that_an_image_uses():
    source = """
        def kernel(x):
            a = cuda.local.array(64, np.float32)
            for k in range(64):
                a[k] = x[k]
            cuda.syncthreads()
            for k in range(64):
                x[k] = a[63 - k] * a[k]
        """
    free, bound = (images.image(made(source, o), (VECTOR,), CC).cubin for o in ({}, {"max_registers": 24}))
    assert free != bound


def test_grid_barrier_makes_an_image_cooperative(monkeypatch):
    source = """
        def kernel(x):
            grid = cuda.cg.this_grid()
            x[cuda.grid(1)] = 1
            grid.sync()
            x[cuda.grid(1)] += x[0]
        """
    image = images.image(made(source), (VECTOR,), CC)
    assert image.cooperative
    stop_compiling(monkeypatch)
    assert images.image(made(source), (VECTOR,), CC) == image


@pytest.mark.parametrize(("chosen", "carveout"), [("MaxL1", 0), ("maxshared", 100), ("default", -1), (30, 30)])
def test_carveout_is_that_of_the_kernel_whoever_compiled_it(chosen, carveout, monkeypatch):
    plain = images.image(made(SCALE, factor=2), (VECTOR,), CC)
    stop_compiling(monkeypatch)
    image = images.image(made(SCALE, {"shared_memory_carveout": chosen}, factor=2), (VECTOR,), CC)
    assert (image.carveout, image.cubin) == (carveout, plain.cubin)


def test_kernel_that_is_linked_with_files_is_not_kept(folder, tmp_path):
    path = tmp_path / "inner.ptx"
    path.write_text(
        ".version 7.0\n.target sm_75\n.address_size 64\n"
        ".visible .func (.param .b32 status) inner(.param .b64 result, .param .b32 a)\n"
        "{\n.reg .f32 t;\n.reg .b64 p;\n.reg .b32 z;\nld.param.f32 t, [a];\nld.param.b64 p, [result];\n"
        "mul.f32 t, t, 0f40400000;\nst.f32 [p], t;\nmov.u32 z, 0;\nst.param.b32 [status], z;\nret;\n}\n"
    )
    inner = cuda.declare_device("inner", types.float32(types.float32), abi="numba")
    kernel = made(CALL, {"link": [str(path)]}, inner=inner)
    image = images.image(kernel, (VECTOR,), CC)
    assert image.cubin.startswith(b"\x7fELF")
    assert entries(folder) == []


def test_kernels_that_numba_must_launch_have_no_image(folder, monkeypatch):
    assert images.image(made(SCALE, {"debug": True, "opt": False}, factor=2), (VECTOR,), CC) is None
    sensitive = made(SCALE, factor=2)
    sensitive._launch_config_sensitive = True
    assert images.image(sensitive, (VECTOR,), CC) is None
    declared = made(SCALE, factor=2)
    declared._can_compile = False
    assert images.image(declared, (VECTOR,), CC) is None
    monkeypatch.setattr(images.config, "CUDA_ENABLE_NRT", True, raising=False)
    assert images.image(made(SCALE, factor=2), (VECTOR,), CC) is None
    assert entries(folder) == []


def test_kernel_that_numba_has_compiled_is_not_compiled_again(monkeypatch):
    kernel = made(SCALE, factor=2)
    with images.current_device(CC):
        library, entry = images.lowered(kernel.py_func, (VECTOR,), CC, kernel.targetoptions)
    kernel.overloads[(VECTOR,)] = SimpleNamespace(_codelibrary=library, entry_name=entry.name, entry_point=None)
    kernel._can_compile = False
    monkeypatch.delattr(images, "lowered")
    image = images.image(kernel, (VECTOR,), CC)
    assert image.entry == entry.name
    assert image.cubin == library.get_cubin((*CC, "")).code


def test_kernel_that_asks_for_its_launch_configuration_has_no_image(folder):
    from numba.cuda import launchconfig

    def inner(v):
        raise TypeError("for kernels")

    @extending.overload(inner)
    def _(v):
        blocks = launchconfig.ensure_current_launch_config().griddim[0]
        return lambda v: v + blocks

    assert images.image(made(CALL, inner=inner), (VECTOR,), CC) is None
    assert entries(folder) == []


def test_kernel_that_cannot_be_compiled_raises_what_numba_raises(folder):
    from numba.cuda.core.errors import TypingError

    with pytest.raises(TypingError, match="no_such_attribute"):
        images.image(made("def kernel(x):\n    x[0] = x.no_such_attribute\n"), (VECTOR,), CC)
    assert entries(folder) == []


# --- other processes ----------------------------------------------------------------------------------------

SCRIPT = """
    import hashlib, sys
    import kernels
    from numba import cuda, types
    from kernels.runtime import images

    factor = 2.5

    @cuda.jit(device=True)
    def inner(v):
        return kernels.erf(v) if v in (1.0, 2.0) else v * factor

    @cuda.jit
    def kernel(x):
        x[cuda.grid(1)] = inner(x[cuda.grid(1)])

    if sys.argv[1] == "refuse":
        from numba.cuda import compiler
        from numba.cuda.cudadrv import nvvm
        del compiler.compile_cuda, nvvm.compile_ir, images._compiled
    (_, gelu, signature), = kernels.REGISTRY["gelu"].kernels("f->f")
    found = [images.image(kernel, (types.float32[::1],), (9, 0)), images.image(gelu, signature, (9, 0))]
    print(*(f"{image.entry} {hashlib.sha256(image.cubin).hexdigest()}" for image in found))
    loaded = {line.split("/")[-1].split(".")[0].strip() for line in open("/proc/self/maps")}
    print("libnvvm" in loaded)
    """


def test_second_process_compiles_nothing(folder):
    def run(mode, seed):
        command = [sys.executable, "-c", textwrap.dedent(SCRIPT), mode]
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    first, compiler_loaded = run("compile", "1")
    assert compiler_loaded == "True"
    assert len(entries(folder)) == 2
    assert run("refuse", "2") == [first, "False"]
    assert len(entries(folder)) == 2
