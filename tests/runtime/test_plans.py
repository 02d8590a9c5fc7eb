"""Plans: calls made once and repeated, which say what does not fit them."""

import numpy as np
import pytest

import kernels
from kernels.runtime import engines, plans, quick
from kernels.runtime.arrays import Operand
from kernels.runtime.memory import pool_bytes
from tests.fakes import DeviceArray, Launched, draw, in_threads
from tests.libraries import Library

N = 1000


# --- anywhere -----------------------------------------------------------------------------------------------


def test_a_plan_computes_what_its_function_does():
    x, y, out = draw(3, 5), draw(5, seed=1), np.empty((3, 5), np.float32)
    plan = kernels.add.plan(like=(x, y), out=out)
    assert plan(x, y, out=out) is out
    np.testing.assert_array_equal(out, x + y)
    np.testing.assert_array_equal(plan(y * np.ones_like(x), y), y + y + np.zeros_like(x))


def test_a_plan_of_one_input_takes_it_alone():
    x = draw(7)
    np.testing.assert_array_equal(kernels.square.plan(like=x)(x), x * x)


def test_a_plan_of_two_results_gives_both():
    x = draw(7)
    fraction, whole = kernels.modf.plan(like=x)(x)
    np.testing.assert_array_equal(fraction + whole, x)


def test_numbers_of_a_plan_are_free():
    x = draw(7)
    plan = kernels.multiply.plan(like=(x, 2.0))
    np.testing.assert_array_equal(plan(x, 3.5), x * np.float32(3.5))
    np.testing.assert_array_equal(plan(x, 3), x * np.float32(3))


def test_defaults_and_none_mean_in_a_plan_what_they_do_in_the_function():
    x = draw(9) - 1.5
    np.testing.assert_array_equal(kernels.leaky_relu.plan(like=x)(x), kernels.leaky_relu(x))
    np.testing.assert_array_equal(kernels.leaky_relu.plan(like=(x, 0.3))(x, 0.2), kernels.leaky_relu(x, 0.2))
    np.testing.assert_array_equal(kernels.clip.plan(like=(x, None, 0.1))(x, None, 0.2), np.clip(x, None, 0.2))


def test_a_plan_with_a_mask_leaves_the_rest():
    x, out, mask = draw(20), draw(20, seed=1), draw(20, seed=2) > 1.5
    expected = np.where(mask, np.sqrt(x), out)
    kernels.sqrt.plan(like=x, out=out, where=mask)(x, out=out, where=mask)
    np.testing.assert_array_equal(out, expected)


def test_plans_of_fused_functions_and_optimizers():
    @kernels.fuse
    def damped(a, x):
        return a * np.exp(-x)

    x = draw(6, dtype=np.float64)
    np.testing.assert_array_equal(damped.plan(like=(2.0, x))(3.0, x), damped(3.0, x))
    ours, theirs = ([draw(6, seed=k) for k in range(4)] for _ in range(2))
    for step, options in ((kernels.adam_step, {"step": 2}), (kernels.adamw_step, {"step": 3, "lr": 0.1})):
        step.plan(like=ours)(*ours, **options)
        step(*theirs, **options)
        np.testing.assert_array_equal(ours, theirs)
    kernels.sgd_step.plan(like=ours[:3])(*ours[:3], lr=0.1, nesterov=True)
    kernels.sgd_step(*theirs[:3], lr=0.1, nesterov=True)
    np.testing.assert_array_equal(ours, theirs)


X, OUT = draw(4, 6), np.empty((4, 6), np.float32)
MISFITS = {
    "shape": (lambda plan: plan(X[:2], X[:2]), ValueError, r"x1 must have shape \(4, 6\).* got \(2, 6\)"),
    "dtype": (lambda plan: plan(X, X.astype("d")), TypeError, "x2 must have dtype float32.* got float64"),
    "a number": (lambda plan: plan(X, 2.0), TypeError, "x2 must have dtype float32"),
    "out": (lambda plan: plan(X, X, out=np.empty((3, 4, 6), "f")), ValueError, r"out must have shape \(4, 6\)"),
    "count": (lambda plan: plan(X), TypeError, r"takes 2 inputs, got 1"),
    "mask": (lambda plan: plan(X, X, out=OUT, where=X > 1.5), ValueError, "where was not given when the plan was made"),
}


@pytest.mark.parametrize(("call", "error", "message"), MISFITS.values(), ids=MISFITS)
def test_what_does_not_fit_a_plan_is_named_and_nothing_is_written(call, error, message):
    OUT[...] = X
    plan = kernels.add.plan(like=(X, X), out=OUT)
    with pytest.raises(error, match=message):
        call(plan)
    np.testing.assert_array_equal(OUT, X)


def test_a_number_that_changes_the_result_does_not_fit():
    x = np.arange(5)
    plan = kernels.multiply.plan(like=(x, 2))
    np.testing.assert_array_equal(plan(x, 3), 3 * x)
    with pytest.raises(TypeError, match="float64, not int64"):
        plan(x, 2.5)
    with pytest.raises(TypeError, match="must be a number"):
        plan(x, x)


def test_what_is_wrong_with_a_plan_is_said_when_it_is_made():
    with pytest.raises(ValueError, match="could not be broadcast"):
        kernels.add.plan(like=(draw(3), draw(4)))
    with pytest.raises(TypeError, match="like must be the 4 arrays"):
        kernels.adam_step.plan(like=draw(3))


def test_every_public_function_that_launches_has_a_plan():
    callables = [getattr(kernels, name) for name in kernels.elementwise.__all__]
    assert [f.__name__ for f in callables if not hasattr(f, "plan")] == ["fuse"]


def test_a_plan_says_what_it_is_for():
    assert kernels.add.plan(like=(X, 1.0)).__doc__.startswith("Plan of add(x1: float32 (4, 6), x2: number)")


# --- the code of the quick way, with no GPU ---------------------------------------------------------------------


@pytest.fixture(autouse=True)
def two_devices(monkeypatch, request):
    """Of one device nobody asks which it is."""
    if "gpu" not in request.keywords:
        monkeypatch.setattr(quick, "device_count", lambda: 2)


def quick_addition(launch, otherwise):
    """The quick way of an addition of two arrays and a number to a third."""
    x = Operand("x", "numba", None, np.dtype("f"), (8,), (1,), 4096, 0, 0)
    names = ["x0", "x1", "x2", "y0"]
    looks = [quick.look(n, DeviceArray if n != "x2" else float, x) for n in names]
    apart = [(0, 3, -32, 32, True), (1, 3, -32, 32, True)]
    aligned = [(0, 15), (1, 15), (3, 15)]
    way = quick.Quick("addition", names[:3], names[3:], {}, {}, looks, [], aligned, apart)
    return way.function(launch, lambda: DeviceArray(8192), lambda: 7, lambda stream: stream, otherwise)


def test_the_quick_way_launches_with_addresses_and_numbers():
    launch = Launched()
    call = quick_addition(launch, None)
    out = DeviceArray(512)
    assert call(DeviceArray(64), DeviceArray(128), 2.5, out=out) is out
    assert call(DeviceArray(512), DeviceArray(512), 3, out=out) is out
    assert isinstance(call(DeviceArray(64), DeviceArray(64), 1.0), DeviceArray)
    assert launch.words == [(64, 128, 2.5, 512), (512, 512, 3, 512), (64, 64, 1.0, 8192)]


def test_memory_that_numba_owns_is_asked_what_lies_behind_it(monkeypatch):
    class Owned:
        def __init__(self, memory):
            self._view, self.context = memory, memory.context

    monkeypatch.setattr(quick.numba_arrays, "OWNED", Owned)
    launch, x, out = Launched(), DeviceArray(64), DeviceArray(512)
    x.gpu_data, out.gpu_data = Owned(x.gpu_data), Owned(out.gpu_data)
    assert quick_addition(launch, None)(x, DeviceArray(128), 2.5, out=out) is out
    assert launch.words == [(64, 128, 2.5, 512)]


NOT_QUICK = {
    "shape": (DeviceArray(64, shape=(7,)), 1.0, DeviceArray(512)),
    "dtype": (DeviceArray(64, dtype="i"), 1.0, DeviceArray(512)),
    "strides": (DeviceArray(64, strides=(8,)), 1.0, DeviceArray(512)),
    "device": (DeviceArray(64, device=1), 1.0, DeviceArray(512)),
    "stream": (DeviceArray(64, stream=3), 1.0, DeviceArray(512)),
    "type": (np.ones(8, "f"), 1.0, DeviceArray(512)),
    "number": (DeviceArray(64), np.float32(1), DeviceArray(512)),
    "out": (DeviceArray(64), 1.0, np.ones(8, "f")),
    "alignment": (DeviceArray(68), 1.0, DeviceArray(512)),
    "overlap": (DeviceArray(528), 1.0, DeviceArray(512)),
}


@pytest.mark.parametrize(("x", "number", "out"), NOT_QUICK.values(), ids=NOT_QUICK)
def test_the_quick_way_leaves_to_the_full_one_what_it_was_not_written_for(x, number, out):
    launch, left = Launched(), []
    call = quick_addition(launch, lambda *call: left.append(call))
    call(x, DeviceArray(256), number, out=out)
    assert launch.words == []
    ((inputs, given, where, stream),) = left
    assert inputs[0] is x
    assert given is out
    assert where is True
    assert stream is None


def test_the_quick_way_is_left_while_another_engine_is_chosen():
    launch, left = Launched(), []
    call = quick_addition(launch, lambda *call: left.append(call))
    arguments = DeviceArray(64), DeviceArray(128), 1.0
    with kernels.use("reference"):
        call(*arguments, out=DeviceArray(512))
    assert not launch.words
    assert len(left) == 1
    call(*arguments, out=DeviceArray(512))
    assert len(launch.words) == 1


def test_a_refused_launch_raises():
    launch = Launched(status=None)
    left = []
    call = quick_addition(launch, lambda *call: left.append(call))
    call(DeviceArray(64), DeviceArray(128), 1.0, out=DeviceArray(512))
    assert left  # the full way says what the driver refuses


def test_pytorchs_check_of_tensors_sees_all_that_matters():
    torch = pytest.importorskip("torch")
    x, y = torch.rand(4, 6), torch.rand(4, 6)
    for tensors in ((x, y), (x, x), (x, y, x)):
        check = quick.tensor_check(tensors)
        assert check(*tensors)
        for other in (
            x[:2],
            x.T,
            x.double(),
            torch._neg_view(x),
            x.clone().requires_grad_(),
            x.numpy(),
            None,
            x[:, ::2],
        ):
            assert not check(other, *tensors[1:])
            assert not check(*tensors[:-1], other)
    assert quick.tensor_check((x, y))(y, x)
    assert not quick.tensor_check((x, x))(x, y)
    z = torch.complex(x, y)
    assert not quick.tensor_check((z,))(z.conj())


def test_a_check_that_was_made_where_gradients_are_off_does_not_pass_where_they_are_on():
    torch = pytest.importorskip("torch")
    parameter = torch.nn.Parameter(torch.rand(3))
    with torch.no_grad():
        check = quick.tensor_check((parameter,))
        assert check(parameter)
    assert not check(parameter)


def test_tensors_are_checked_by_their_attributes_where_pytorch_has_no_check(monkeypatch):
    torch = pytest.importorskip("torch")
    x = torch.rand(4, 6)
    monkeypatch.setattr(torch._C, "_dynamo", None)
    check = quick.tensor_check((x, x))
    assert check(x, x)
    for other in (x[:2], x.T, x.double(), torch._neg_view(x), x.clone().requires_grad_()):
        assert not check(x, other)


def test_the_quick_way_is_left_where_a_mode_sees_pytorchs_operators():
    torch = pytest.importorskip("torch")
    from torch._subclasses import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.utils.flop_counter import FlopCounterMode

    x, y = Operand("x", "torch", None, np.dtype("f"), (8,), (1,), 4096, 0, 0), torch.rand(8)
    looks, launch, left = [quick.look(name, torch.Tensor, x) for name in ("x0", "y0")], Launched(), []
    way = quick.Quick("copy", ["x0"], ["y0"], {}, {}, looks, ["x0", "y0"], [], [])
    call = way.function(
        launch, lambda: torch.empty(8), lambda: 7, lambda stream: stream, lambda *call: left.append(call)
    )
    quick.renew(call, [y, torch.empty(8)])
    out = torch.empty(8)
    for _ in range(2):
        call(y, out=out)
    assert launch.words == [(y.data_ptr(), out.data_ptr())] * 2
    make_fx(lambda x: (call(y), call(y, out=out), x)[-1])(y)
    make_fx(lambda x: (call(y), call(y, out=out), x)[-1], pre_dispatch=True)(y)
    for mode in (FakeTensorMode(allow_non_fake_inputs=True), FlopCounterMode(display=False)):
        with mode:
            call(y, out=out)
    assert len(launch.words) == 2
    assert len(left) == 6


def test_the_plans_of_a_function_are_bounded(monkeypatch):
    monkeypatch.setattr(plans, "KEPT", 3)
    monkeypatch.setattr(plans, "_quick_function", lambda call, otherwise: lambda: None)
    monkeypatch.setattr(plans, "_renew", lambda *given: None)
    calls = plans.Calls(None, {})
    for key in range(5):
        calls._keep((key, True, True), None, None)
    assert [key[0] for key in calls._plans] == [2, 3, 4]


def test_only_what_is_repeated_gets_a_plan(monkeypatch):
    made = []
    monkeypatch.setattr(plans.quick, "describe", lambda arguments: arguments)
    monkeypatch.setattr(plans, "compute", lambda call: "computed")
    monkeypatch.setattr(plans, "_is_quick", lambda call: True)
    monkeypatch.setattr(plans.Calls, "_keep", lambda self, key, call, found: made.append(key[0]))
    calls = plans.Calls(lambda *given: None, {})
    assert [calls((shape,), None, True, None) for shape in (1, 2, 3, 2)] == ["computed"] * 4
    assert made == [(2,)]


# --- on a GPU -----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["numba", "cupy", "torch"])
def library(request):
    return Library(request.param)


def refuse(inputs, out, where, stream):
    raise AssertionError("not the quick way")


def only_quick(plan, *arguments, **options):
    """Call a plan, and fail where it does not go the quick way."""
    plan(*arguments, **options)  # the first call may still look at everything
    otherwise = plan.__globals__["otherwise"]
    plan.__globals__["otherwise"] = refuse
    try:
        return plan(*arguments, **options)
    finally:
        plan.__globals__["otherwise"] = otherwise


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["?", "b", "H", "i", "q", "e", "f", "d", "F", "D"])
def test_plans_are_quick_and_right_for_every_dtype(library, dtype):
    x, y = ((draw(N, seed=k) * 50).astype(dtype) for k in range(2))
    a, b, c = map(library.array, (x, y, np.zeros_like(x)))
    assert only_quick(kernels.add.plan(like=(a, b), out=c), a, b, out=c) is c
    np.testing.assert_array_equal(library.numpy(c), x + y)


@pytest.mark.gpu
def test_plans_are_quick_for_results_that_they_make(library):
    x = draw(3, N)
    found = only_quick(kernels.square.plan(like=library.array(x)), library.array(x))
    np.testing.assert_array_equal(library.numpy(found), x * x)
    assert isinstance(found, type(library.array(x)))


@pytest.mark.gpu
def test_plans_are_quick_for_strides_broadcasting_masks_and_numbers(library):
    x, row, mask = draw(30, 40), draw(40, seed=1), draw(30, 40, seed=2) > 1.5
    a, b, m, out = map(library.array, (x, row, mask, np.zeros((30, 40), np.float32)))
    plan = kernels.add.plan(like=(a, b), out=out)
    np.testing.assert_array_equal(library.numpy(only_quick(plan, a, b, out=out)), x + row)
    plan = kernels.multiply.plan(like=(a, 2.0), out=out, where=m)
    found = library.numpy(only_quick(plan, a, 3.0, out=out, where=m))
    np.testing.assert_array_equal(found, np.where(mask, x * 3, x + row))
    z = draw(9).astype("F")
    plan = kernels.multiply.plan(like=(library.array(z), 1j))
    np.testing.assert_array_equal(library.numpy(only_quick(plan, library.array(z), 2j)), z * np.complex64(2j))


@pytest.mark.gpu
def test_a_plan_in_place_is_quick(library):
    x = draw(N)
    a = library.array(x)
    plan = kernels.add.plan(like=(a, a), out=a)
    plan(a, a, out=a)
    found = only_quick(plan, a, a, out=a)
    np.testing.assert_array_equal(library.numpy(found), x * 8)


@pytest.mark.gpu
def test_overlap_and_alignment_are_seen_by_each_call(library):
    if library.name == "numba":
        pytest.skip("a slice of Numba's arrays is another kind of memory")
    x = draw(N + 8)
    for start, target in ((0, 1), (1, 0), (0, 4), (3, 3), (4, 0)):
        memory = library.array(x)
        plan = kernels.add.plan(like=(memory[:N], 1.0), out=library.array(x)[:N])
        plan(memory[start : start + N], 1.0, out=memory[target : target + N])
        np.testing.assert_array_equal(library.numpy(memory)[target : target + N], x[start : start + N] + 1)


@pytest.mark.gpu
def test_misfits_on_a_gpu_are_named(library):
    a, out = library.array(draw(4, 6)), library.array(draw(4, 6))
    plan = kernels.add.plan(like=(a, a), out=out)
    plan(a, a, out=out)
    before = library.numpy(out)
    for arguments, error, message in (
        ((library.array(draw(6, 4)), a), ValueError, r"x1 must have shape \(4, 6\)"),
        ((a, library.array(draw(4, 6, dtype="d"))), TypeError, "x2 must have dtype float32"),
        ((a, draw(4, 6)), ValueError, "x2 must be in device 0, .* is in host memory"),
    ):
        with pytest.raises(error, match=message):
            plan(*arguments, out=out)
    if library.name != "numba":
        with pytest.raises(ValueError, match="x2 must have strides of"):
            plan(a, library.array(draw(6, 4)).T, out=out)
    np.testing.assert_array_equal(library.numpy(out), before)


@pytest.mark.gpu
def test_a_plan_takes_arrays_of_other_libraries(library):
    x = draw(N)
    numba = Library("numba")
    plan = kernels.add.plan(like=(library.array(x), 1.0))
    np.testing.assert_array_equal(numba.numpy(plan(numba.array(x), 1.0)), x + 1)


@pytest.mark.gpu
def test_one_shot_calls_become_quick(library, monkeypatch):
    a, b, c = (library.array(draw(N, seed=k)) for k in range(3))
    calls = {"out": lambda: kernels.add(a, b, out=c), "no out": lambda: kernels.add(a, b),
             "number": lambda: kernels.leaky_relu(a), "masked": lambda: kernels.exp(a, out=c, where=mask)}  # fmt: skip
    mask = library.array(draw(N) > 1.5)
    for call in calls.values():
        call()
        call()
    monkeypatch.setattr(plans, "examine", refuse)
    for call in calls.values():
        call()


@pytest.mark.gpu
def test_quick_calls_allocate_nothing(library):
    a, b, c = (library.array(draw(N, seed=k)) for k in range(3))
    plan = kernels.add.plan(like=(a, b), out=c)
    plan(a, b, out=c)
    before = pool_bytes()
    if library.name == "torch":
        allocations = library.module.cuda.memory_stats()["allocation.all.allocated"]
    for _ in range(100):
        plan(a, b, out=c)
    assert pool_bytes() == before
    if library.name == "torch":
        assert library.module.cuda.memory_stats()["allocation.all.allocated"] == allocations


@pytest.mark.gpu
def test_tensors_that_are_more_than_memory_are_seen_by_each_call():
    torch = Library("torch").module
    a, out = torch.rand(N, device="cuda"), torch.empty(N, device="cuda")
    plan = kernels.add.plan(like=(a, 1.0), out=out)
    plan(a, 1.0, out=out)
    negative = torch._neg_view(a)
    plan(negative, 1.0, out=out)
    assert torch.equal(out, 1.0 - a)
    parameter = torch.nn.Parameter(a.clone())
    with torch.no_grad():
        plan(parameter, 1.0, out=out)
        plan(parameter, 1.0, out=out)
        assert torch.equal(out, a + 1)
    with pytest.raises(TypeError, match="x1 is a tensor that requires grad"):
        plan(parameter, 1.0, out=out)
    with pytest.raises(TypeError, match="x1 is a tensor that requires grad"):
        kernels.add(parameter, 1.0, out=out)
    freed = a.clone()
    freed.untyped_storage().resize_(0)
    with pytest.raises(TypeError, match="x1 has no memory"):
        plan(freed, 1.0, out=out)


@pytest.mark.gpu
def test_a_quick_call_tells_autograd_of_the_change():
    torch = Library("torch").module
    x = torch.rand(8, device="cuda", requires_grad=True)
    saved = x.exp()
    kernels.add.plan(like=(saved.detach(), 1.0), out=saved.detach())(saved.detach(), 1.0, out=saved.detach())
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        saved.sum().backward()


@pytest.mark.gpu
def test_a_plan_works_in_the_order_of_its_stream(library):
    if library.name != "torch":
        pytest.skip("PyTorch's streams show it")
    torch = library.module
    a, out = torch.zeros(1 << 22, device="cuda"), torch.empty(1 << 22, device="cuda")
    plan = kernels.add.plan(like=(a, 1.0), out=out)
    stream = torch.cuda.Stream()
    for _ in range(20):
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            a.add_(1)
            plan(a, 1.0, out=out)
        torch.cuda.current_stream().wait_stream(stream)
        assert torch.equal(out, a + 1)
    a.add_(1)
    plan(a, 2.0, out=out, stream=stream)  # which waits for the current one
    torch.cuda.current_stream().wait_stream(stream)
    assert torch.equal(out, a + 2)


@pytest.mark.gpu
def test_threads_share_a_plan(library):
    count, rounds = 8, 200
    inputs = [library.array(draw(N, seed=k)) for k in range(count)]
    outs = [library.array(np.zeros(N, np.float32)) for _ in range(count)]
    streams = [kernels.runtime.memory.cuda.stream() for _ in range(count)]
    plan = kernels.multiply.plan(like=(inputs[0], 2.0), out=outs[0])
    wrong = []

    def work(k):
        for turn in range(rounds):
            number = float(turn + k)
            plan(inputs[k], number, out=outs[k], stream=streams[k])
            streams[k].synchronize()
            if turn % 20 == 0 and not (library.numpy(outs[k]) == draw(N, seed=k) * np.float32(number)).all():
                wrong.append((k, turn))

    in_threads(count, work)
    assert wrong == []


@pytest.mark.gpu
def test_the_device_of_the_arrays_computes_whatever_device_is_current():
    torch = Library("torch").module
    if torch.cuda.device_count() < 2:
        pytest.skip("one GPU")
    arrays = [torch.rand(N, device=f"cuda:{d}") for d in range(2)]
    plan = kernels.add.plan(like=(arrays[1], 1.0), out=torch.empty_like(arrays[1]))
    for current in (0, 1, 0):
        with torch.cuda.device(current):
            out = torch.empty_like(arrays[1])
            only_quick(plan, arrays[1], 1.0, out=out)
            assert torch.equal(out, arrays[1] + 1)
            assert torch.equal(kernels.add(arrays[0], 1.0), arrays[0] + 1)
    with pytest.raises(ValueError, match=r"x1 must be in device 1, .* is in device 0"):
        plan(arrays[0], 1.0)


def test_detours_end_with_what_made_them():
    with kernels.use("reference"):
        assert engines.detours
    assert not engines.detours
