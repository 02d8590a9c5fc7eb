"""Calls under the transformations of PyTorch and JAX: they work as they stand, or say what to do."""

import pickle
import subprocess
import sys
import typing
import warnings

import numpy as np
import pytest

import kernels
from kernels.runtime.frameworks import opaque


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def jax():
    return pytest.importorskip("jax")


@pytest.fixture
def x(torch, rng):
    device = "cuda" if kernels.engine() == "cuda" and torch.cuda.is_available() else "cpu"
    return torch.from_numpy(rng.uniform(0.5, 2, 12).astype(np.float32)).to(device)


@kernels.fuse
def damped(a, x, y):
    return a * x + y * x


# --- torch.compile --------------------------------------------------------------------------------------------


@pytest.fixture
def dynamo(torch, monkeypatch):
    """Names of the functions that Dynamo compiled a frame of."""
    dynamo = pytest.importorskip("torch._dynamo")
    compiled, inner = [], dynamo.convert_frame._compile

    def recorded(code, *args, **options):
        if code.co_filename != typing.__file__:  # PyTorch's own backward calls `cast`
            compiled.append(code.co_name.removeprefix("torch_dynamo_resume_in_").partition("_at_")[0])
        return inner(code, *args, **options)

    monkeypatch.setattr(dynamo.convert_frame, "_compile", recorded)
    dynamo.reset()
    yield compiled
    dynamo.reset()


def test_a_compiled_function_calls_kernels_between_its_graphs(torch, dynamo, x):
    def model(x):
        return torch.cos(damped(2.0, kernels.add(torch.sin(x), 1.5), x))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = torch.compile(model, backend="eager")(x)
    assert torch.equal(found, model(x))
    assert set(dynamo) == {"model"}


def test_other_shapes_and_dtypes_compile_the_callers_frames_alone(torch, dynamo, x):
    def model(x):
        return kernels.multiply(x + 1, 2)

    compiled = torch.compile(model, backend="eager")
    for y in (x, x[:7], x[::2], x.double(), x.reshape(3, 4)):
        assert torch.equal(compiled(y), (y + 1) * 2)
    assert set(dynamo) == {"model"}


def test_a_loop_with_out_and_functions_from_a_table_compiles(torch, dynamo, x):
    table = {"negative": (kernels.negative, torch.neg), "abs": (kernels.absolute, torch.abs)}

    def model(x, y, name):
        for _ in range(3):
            y = table[name][0](x + y, out=y)
        return y

    compiled = torch.compile(model, backend="eager")
    for name, (_, peer) in table.items():
        y, expected = torch.ones_like(x), torch.ones_like(x)
        assert compiled(x, y, name) is y
        for _ in range(3):
            expected = peer(x + expected)
        assert torch.equal(y, expected)
    assert set(dynamo) == {"model"}


def test_a_training_step_with_a_fused_optimizer_compiles(torch, dynamo, x):
    def trained(compiler):
        w, m, v = torch.nn.Parameter(torch.ones_like(x)), torch.zeros_like(x), torch.zeros_like(x)

        def step(k):
            loss = ((w * x).sum() - 1) ** 2
            loss.backward()
            with torch.no_grad():
                kernels.adam_step(w, w.grad, m, v, step=k, lr=0.1)
            w.grad = None

        run = compiler(step)
        for k in range(1, 4):
            run(k)
        return w.detach()

    expected = trained(lambda step: step)
    assert not torch.equal(expected, torch.ones_like(x))
    assert torch.equal(trained(lambda step: torch.compile(step, backend="eager")), expected)
    assert set(dynamo) == {"step"}


@pytest.mark.parametrize("function", [kernels.negative, kernels.fuse(lambda x: -x)], ids=["public", "fused"])
def test_a_public_function_may_be_compiled_itself(torch, dynamo, x, function):
    compiled = torch.compile(function, backend="eager")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n in range(1, 12):
            assert torch.equal(compiled(x[:n]), -x[:n])
    assert set(dynamo) <= {"function", "fused"}


def test_fullgraph_says_that_kernels_are_opaque_and_what_to_do(torch, dynamo, x):
    compiled = torch.compile(lambda x: kernels.add(x, 1), backend="eager", fullgraph=True)
    with pytest.raises(torch._dynamo.exc.Unsupported, match=r"package kernels.*fullgraph.*custom_op"):
        compiled(x)


def test_a_method_can_be_opaque(torch, dynamo, x):
    class Plan:
        @opaque
        def __call__(self, x):
            return kernels.add(x, 1)

    plan = Plan()
    compiled = torch.compile(lambda x: plan(x * 2), backend="eager")
    assert torch.equal(compiled(x), 2 * x + 1)
    assert set(dynamo) == {"<lambda>"}


def test_torch_may_be_imported_after_the_first_call(torch):
    program = """
import sys, kernels
kernels.add([1.0], 1)
assert "torch" not in sys.modules
import torch, torch._dynamo
compiled, inner = [], torch._dynamo.convert_frame._compile
torch._dynamo.convert_frame._compile = lambda code, *a, **o: (compiled.append(code.co_name), inner(code, *a, **o))[1]
f = torch.compile(lambda x: kernels.add(x * 2, 1), backend="eager")
assert torch.equal(f(torch.ones(3)), torch.full((3,), 3.0))
assert compiled == ["<lambda>"], compiled
"""
    subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", program], check=True)


def test_a_custom_operator_around_a_call_compiles_whole_and_is_differentiated(torch, dynamo, x):
    @torch.library.custom_op("kernels_test::square", mutates_args=())
    def square(x: torch.Tensor) -> torch.Tensor:
        return kernels.multiply(x, x)

    @square.register_fake
    def _(x):
        return torch.empty_like(x)

    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 2 * x * grad

    square.register_autograd(backward, setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs))
    w = torch.nn.Parameter(x.clone())
    loss = torch.compile(lambda w: square(w).sum(), backend="aot_eager", fullgraph=True)(w)
    loss.backward()
    assert torch.equal(loss.detach(), (x * x).sum())
    assert torch.equal(w.grad, 2 * x)


def test_export_refuses_with_the_argument_named(torch, x):
    class Model(torch.nn.Module):
        def forward(self, x):
            return kernels.add(x, 1)

    with pytest.raises(TypeError, match=r"x1 is a .*Tensor"):
        torch.export.export(Model(), (x,), strict=False)


# --- autograd -------------------------------------------------------------------------------------------------


def test_a_tensor_that_requires_grad_is_refused_while_grad_is_recorded(torch, x):
    w = torch.nn.Parameter(x)
    with pytest.raises(TypeError, match=r"x1 .*requires grad.*detach.*no_grad.*autograd\.Function"):
        kernels.add(w, 1)
    with pytest.raises(TypeError, match=r"out .*requires grad"):
        kernels.add(x, 1, out=w)
    with pytest.raises(TypeError, match=r"param .*requires grad"):
        kernels.sgd_step(w, x, x.clone(), lr=0.1)


@pytest.mark.parametrize("mode", ["no_grad", "inference_mode"])
def test_where_no_grad_is_recorded_parameters_are_tensors_like_others(torch, x, mode):
    w = torch.nn.Parameter(x.clone())
    with getattr(torch, mode)():
        y = kernels.add(w, w * 2)
        assert kernels.multiply(x, 2, out=w) is w
    assert torch.equal(y, x * 3)
    assert torch.equal(w, x * 2)
    assert not y.requires_grad
    assert w.requires_grad
    assert y.is_inference() == (mode == "inference_mode")


def test_autograd_notices_what_a_call_changed_in_place(torch, x):
    w = torch.nn.Parameter(x.clone())
    loss = (w * w).sum()
    with torch.no_grad():
        kernels.add(x, 1, out=w)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_call_that_fails_leaves_the_version_of_out_as_it_was(torch, x):
    before = x._version
    with pytest.raises(ValueError, match="broadcast"):
        kernels.add(torch.ones(2), torch.ones(3), out=x)
    assert x._version == before


def test_inference_tensors_are_read_anywhere_and_written_under_inference_mode(torch, x):
    with torch.inference_mode():
        y = torch.zeros_like(x)
        kernels.add(x, 1, out=y)
    assert torch.equal(kernels.add(y, 1), x + 1 + 1)
    with pytest.raises(ValueError, match="out is an inference tensor"):
        kernels.add(x, 1, out=y)


def test_an_autograd_function_around_a_call_is_differentiated_as_it_says(torch, x):
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return kernels.multiply(x, x)

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return kernels.multiply(kernels.multiply(x, 2), grad)

    w = torch.nn.Parameter(x)
    Square.apply(w).sum().backward()
    assert torch.equal(w.grad, 2 * x)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch of its own torch.jit
def test_dual_tensors_are_refused_and_their_primals_are_not(torch, x):
    forward = torch.autograd.forward_ad
    with forward.dual_level():
        dual = forward.make_dual(x, torch.ones_like(x))
        with pytest.raises(TypeError, match="x1 is a dual tensor"):
            kernels.add(dual, 1)
        assert torch.equal(kernels.add(forward.unpack_dual(dual).primal, 1), x + 1)
        assert torch.equal(kernels.add(x, 1), x + 1)


# --- tensors without plain memory -----------------------------------------------------------------------------


def freed(torch):
    x = torch.ones(3)
    x.untyped_storage().resize_(0)
    return x


def fake(torch):
    return torch._subclasses.FakeTensorMode().from_tensor(torch.ones(3))


def nested(torch, **options):
    return torch.nested.nested_tensor([torch.ones(3), torch.ones(2)], **options)


#: What the error says, and what makes the tensor.
WITHOUT_MEMORY = {
    "meta": ("device meta", lambda torch: torch.ones(3, device="meta")),
    "sparse": ("sparse_coo.*to_dense", lambda torch: torch.eye(3).to_sparse()),
    "csr": ("sparse_csr.*to_dense", lambda torch: torch.eye(3).to_sparse_csr()),
    "nested": ("nested tensor", nested),
    "jagged": ("NestedTensor", lambda torch: nested(torch, layout=torch.jagged)),
    "quantized": ("quint8", lambda torch: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8)),
    "freed": ("no memory", freed),
    "zero": ("no memory", lambda torch: torch._efficientzerotensor(3)),
    "functional": ("no memory", lambda torch: torch._to_functional_tensor(torch.ones(3))),
    "fake": ("FakeTensor", fake),
    "uninitialized": ("uninitialized", lambda torch: torch.nn.parameter.UninitializedParameter()),
    "module": ("must be a tensor, got torch.nn", lambda torch: torch.nn.ReLU()),
    "dtype": ("must be a tensor, got torch.dtype", lambda torch: torch.float32),
    "float8": ("float8", lambda torch: torch.ones(3).to(torch.float8_e5m2)),
    "bfloat16": ("bfloat16", lambda torch: torch.ones(3, dtype=torch.bfloat16)),
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # of prototypes and deprecations in PyTorch
@pytest.mark.parametrize("kind", WITHOUT_MEMORY)
def test_a_tensor_without_plain_memory_is_refused_by_its_argument(torch, kind):
    message, make = WITHOUT_MEMORY[kind]
    with torch.no_grad():
        tensor = make(torch)
        with pytest.raises(TypeError, match=f"x1 .*{message}"):
            kernels.add(tensor, 1)
        with pytest.raises(TypeError, match=f"out .*{message}"):
            kernels.add(np.ones(3, np.float32), 1, out=tensor)


@pytest.mark.parametrize("transformation", ["vmap", "grad", "jvp", "functionalize"])
def test_functional_transformations_are_refused_by_the_argument(torch, x, transformation):
    def f(x):
        return kernels.add(x, 1).sum()

    transform = getattr(torch.func, transformation)
    with pytest.raises(TypeError, match=r"x1 .*(torch\.func|no memory)"):
        transform(f, (x,), (x,)) if transformation == "jvp" else transform(f)(x)


def test_tensors_that_a_transformed_function_closes_over_are_refused_as_well(torch, x):
    with pytest.raises(TypeError, match=r"x1 is a tensor in a call under a transformation of torch\.func"):
        torch.func.grad(lambda y: (y * kernels.add(x, 1)).sum())(x)


def test_an_autograd_function_with_a_rule_for_vmap_is_transformed(torch, x):
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(x):
            return kernels.multiply(x, x)

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return 2 * x * grad

        @staticmethod
        def vmap(info, in_dims, x):
            return Square.apply(x), in_dims[0]

    assert torch.equal(torch.func.vmap(Square.apply)(x), x * x)
    assert torch.equal(torch.func.grad(lambda x: Square.apply(x).sum())(x), 2 * x)


def test_a_mode_that_fakes_tensors_is_refused_and_one_that_watches_is_not(torch, x):
    from torch._subclasses import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.utils.flop_counter import FlopCounterMode

    out = torch.empty_like(x)
    ways = [lambda x: kernels.add(x, 1), lambda x: kernels.add(x, 1, out=out)]
    for call in ways * 3:  # so that there is a plan on a GPU
        assert torch.equal(call(x), x + 1)
    for call in ways:
        with FakeTensorMode(allow_non_fake_inputs=True), pytest.raises(TypeError, match=r"x1 .* under FakeTensorMode"):
            call(x)
        for early in (False, True):
            with pytest.raises(TypeError, match=r"x1 .* under ProxyTorchDispatchMode"):
                make_fx(call, pre_dispatch=early)(x)
    with FlopCounterMode(display=False):
        assert torch.equal(kernels.add(x, 1), x + 1)


def test_a_subclass_with_memory_is_read_as_a_plain_tensor(torch, x):
    class Image(torch.Tensor):
        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            raise AssertionError(function)

    image = x.clone().as_subclass(Image)
    y = kernels.add(image, 1)
    assert type(y) is torch.Tensor
    assert torch.equal(y, x + 1)
    assert kernels.multiply(x, 2, out=image) is image
    with torch._C.DisableTorchFunctionSubclass():
        assert torch.equal(image.as_subclass(torch.Tensor), x * 2)


@pytest.mark.parametrize("view", ["conj", "neg"])
def test_lazy_views_are_read_and_not_written(torch, x, view):
    z = torch.complex(x, x + 1)
    lazy = z.conj() if view == "conj" else torch._neg_view(x)
    assert torch.equal(kernels.add(lazy, 0), lazy.resolve_conj().resolve_neg())
    with pytest.raises(ValueError, match="out is a lazily conjugated or negated view"):
        kernels.add(lazy, 1, out=lazy)


# --- the older ways to trace ----------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_trace_is_refused_since_it_would_hold_a_constant(torch, x):
    with pytest.raises(TypeError, match=r"x1 is a tensor under torch\.jit\.trace"):
        torch.jit.trace(lambda x: kernels.add(x, 1), x)


def test_a_symbolic_trace_is_refused_by_the_argument(torch):
    with pytest.raises(TypeError, match=r"x1 must be a tensor, got torch\.fx"):
        torch.fx.symbolic_trace(lambda x: kernels.add(x, 1))


# --- JAX ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transformation", ["jit", "grad", "vmap", "linearize"])
def test_tracers_of_jax_are_refused_by_the_argument(jax, rng, transformation):
    x = jax.numpy.asarray(rng.uniform(1, 2, 5).astype(np.float32))

    def f(x):
        return kernels.add(x, 1).sum()

    with pytest.raises(TypeError, match=r"x1 is a tracer of JAX .*pure_callback"):
        jax.linearize(f, x) if transformation == "linearize" else getattr(jax, transformation)(f)(x)


def test_a_pure_callback_around_a_call_is_compiled_and_vectorized(jax, rng):
    x, y = (jax.numpy.asarray(rng.uniform(1, 2, (3, 5)).astype(np.float32)) for _ in range(2))

    def on_host(x, y):
        return kernels.add(np.asarray(x), np.asarray(y))

    def add(x, y):
        result = jax.ShapeDtypeStruct(jax.numpy.broadcast_shapes(x.shape, y.shape), jax.numpy.result_type(x, y))
        return jax.pure_callback(on_host, result, x, y, vmap_method="broadcast_all")

    assert np.array_equal(jax.jit(lambda x, y: 2 * add(x, y))(x, y), 2 * (x + y))
    assert np.array_equal(jax.vmap(add)(x, y), x + y)


def test_what_is_no_array_of_jax_is_refused(jax):
    x = jax.numpy.ones(3)
    with pytest.raises(TypeError, match="x1 must be an array, got jax"):
        kernels.add(jax.ShapeDtypeStruct((3,), np.float32), 1)
    with pytest.raises(TypeError, match="x1 has dtype key"):
        kernels.add(jax.random.key(0), 1)
    x.delete()
    with pytest.raises(ValueError, match="x1 is an array that was deleted"):
        kernels.add(x, 1)


# --- other processes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [kernels.add, kernels.adam_step, damped])
def test_public_functions_are_pickled_by_name(function):
    assert pickle.loads(pickle.dumps(function)) is function


class Squares:
    """A data set that computes its items with kernels."""

    def __len__(self):
        return 4

    def __getitem__(self, k):
        return kernels.multiply(float(k), float(k))


def test_workers_of_a_data_loader_call_kernels(torch):
    loader = torch.utils.data.DataLoader(Squares(), num_workers=1, multiprocessing_context="spawn")
    assert [float(y) for y in loader] == [0, 1, 4, 9]
