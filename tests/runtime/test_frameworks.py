"""Calls under the transformations of PyTorch and JAX: they work as they stand, or say what to do."""

import pickle
import subprocess
import sys
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
    return torch.from_numpy(rng.uniform(0.5, 2, 12).astype(np.float32))


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
        w, m, v = torch.nn.Parameter(torch.ones(12)), torch.zeros(12), torch.zeros(12)

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
    assert not torch.equal(expected, torch.ones(12))
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
            return kernels.add(x.numpy(), 1)

    plan = Plan()
    compiled = torch.compile(lambda x: torch.from_numpy(plan(x * 2)), backend="eager")
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


def test_a_custom_operator_around_a_call_compiles_whole(torch, dynamo, x):
    @torch.library.custom_op("kernels_test::damped", mutates_args=())
    def operator(a: float, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return damped(a, x, y)

    @operator.register_fake
    def _(a, x, y):
        return torch.empty_like(x)

    def model(x):
        return torch.cos(torch.ops.kernels_test.damped(2.0, torch.sin(x), x))

    assert torch.equal(torch.compile(model, backend="aot_eager", fullgraph=True)(x), model(x))


def test_export_refuses_with_the_argument_named(torch, x):
    class Model(torch.nn.Module):
        def forward(self, x):
            return kernels.add(x, 1)

    with pytest.raises(TypeError, match="x1 is a .*Tensor"):
        torch.export.export(Model(), (x,), strict=False)
