"""What PyTorch and JAX make of a call when they transform the program around it.

A call works on memory, at once, and is seen by neither library. `opaque` has torch.compile leave a function alone;
`readable`, `writable`, `concrete` and `jax_array` tell arrays that have memory from what stands for an array while
a program is traced, differentiated or vectorised.

Nothing here imports a library before one of its arrays is met.
"""

import functools
import sys
import weakref

# --- torch.compile --------------------------------------------------------------------------------------------

#: Code that Dynamo is to leave alone, by identity: codes of equal source are equal.
_codes = weakref.WeakValueDictionary()


class _Disabled:
    """True, and it marks every opaque function's code for Dynamo when Dynamo asks.

    Dynamo reads `_torchdynamo_disable` of a function that it is about to trace into, and where it is true breaks its
    graph there. That alone leaves it watching when the call runs: it compiled 98 frames of this package and of
    Numba below two calls, NumPy's arithmetic among them as PyTorch's. A marked code is run as it is with all that it
    calls. `torch.compiler.disable` does that by a wrapper, which needs PyTorch imported and costs every call.
    """

    def __bool__(self):
        dynamo = sys.modules.get("torch._C._dynamo.eval_frame")
        if hasattr(dynamo, "set_code_exec_strategy"):
            skip = dynamo._FrameAction.SKIP
            for code in tuple(_codes.values()):
                dynamo.set_code_exec_strategy(code, dynamo._FrameExecStrategy(skip, skip))
        return True


_DISABLED = _Disabled()


def opaque(function):
    """Mark a function, or a method, that torch.compile is to call rather than to trace; returns it unchanged."""
    _codes[id(function.__code__)] = function.__code__
    function._torchdynamo_disable = _DISABLED
    function._torchdynamo_disable_msg = (
        "functions of the package kernels run GPU kernels that torch.compile does not see into; it breaks the graph "
        "around the call where it may, so compile without fullgraph=True, or wrap the call in torch.library.custom_op"
    )
    return function


# --- PyTorch's tensors ----------------------------------------------------------------------------------------


@functools.cache
def _torch():
    import torch

    return torch


_TRANSFORMED = (
    "under a transformation of torch.func (vmap, grad, jvp, ...), which would not see it; call outside of the "
    "transformation, or wrap the call in a torch.autograd.Function with setup_context and vmap"
)


def readable(value, name):
    """`value`, or for an instance of a subclass a plain tensor over its memory.

    Raises
    ------
    TypeError
        For what is no tensor, has no memory of its own, or would be recorded.
    """
    torch = _torch()
    tensor = _plain(value, name)
    concrete(tensor, name)
    if torch._C._functorch.peek_interpreter_stack() is not None:  # then PyTorch's results are of its level as well
        raise TypeError(f"{name} is a tensor in a call {_TRANSFORMED}")
    if torch._C._len_torch_dispatch_stack() or torch._C._dispatch_tls_is_dispatch_key_included("PreDispatch"):
        _check_modes(name)
    if tensor.requires_grad and torch.is_grad_enabled():
        raise TypeError(
            f"{name} is a tensor that requires grad, and this call would not be recorded: pass .detach(), call under "
            "torch.no_grad(), or wrap the call in a torch.autograd.Function"
        )
    forward = torch.autograd.forward_ad
    if forward._current_level >= 0 and forward.unpack_dual(tensor).tangent is not None:
        raise TypeError(f"{name} is a dual tensor, whose tangent this call would lose; pass its primal")
    if torch._C._get_tracing_state() is not None:
        raise TypeError(
            f"{name} is a tensor under torch.jit.trace, which would record the result of this call as a constant; "
            "call it outside of the traced function, or wrap the call in torch.library.custom_op"
        )
    return tensor


def _check_modes(name):
    """Refuse the modes in which PyTorch's operators make tensors that are none. Those that only watch may watch."""
    torch = _torch()
    keys, active = torch._C._TorchDispatchModeKey, torch._C._get_dispatch_mode
    found = [active(key) for key in (keys.FAKE, keys.PROXY, keys.FUNCTIONAL)]
    found += [torch._ops._get_dispatch_mode_pre_dispatch(key) for key in (keys.PROXY, keys.FUNCTIONAL)]
    for mode in found:
        if mode is not None:
            raise TypeError(
                f"{name} is a tensor in a call under {type(mode).__name__}, which would trace operators of PyTorch and "
                "not this call; call outside of the mode, or wrap the call in torch.library.custom_op"
            )


@functools.cache
def modes():
    """PyTorch's function that counts the modes of this thread which see its operators: 0.1 us."""
    return _torch()._C._len_torch_dispatch_stack


def _plain(value, name):
    torch = _torch()
    kind = type(value)
    if kind is torch.Tensor or kind is torch.nn.Parameter:
        return value
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} must be a tensor, got {kind.__module__}.{kind.__qualname__}")
    if torch.nn.parameter.is_lazy(value):
        raise TypeError(f"{name} is an uninitialized parameter or buffer, which has no elements yet")
    if kind.__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:
        raise TypeError(
            f"{name} is a {kind.__qualname__}, a tensor subclass that stands for other tensors or for none; "
            "pass a plain tensor"
        )
    with torch._C.DisableTorchFunctionSubclass():
        return value.as_subclass(torch.Tensor)


def concrete(tensor, name):
    """The address of a tensor's first element; TypeError where a tensor has no memory."""
    try:
        pointer = tensor.data_ptr()
        if (pointer or not tensor.numel()) and not tensor.is_nested:
            return pointer
    except RuntimeError:  # "Cannot access data pointer of Tensor that doesn't have storage"
        pass
    raise TypeError(f"{name} {_shortcoming(tensor)}")


def _shortcoming(tensor):
    torch = _torch()
    if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        return f"is a tensor {_TRANSFORMED}"
    if tensor.layout is not torch.strided:
        return f"has layout {tensor.layout}; pass .to_dense()"
    if tensor.is_nested:
        return "is a nested tensor; pass its tensors one by one, or a padded one"
    if tensor.device.type == "meta":
        return "is on device meta, where tensors have no memory"
    return "has no memory: its storage was freed, or it stands for a tensor that is yet to be computed"


def writable(value, name):
    """Refuse to write where PyTorch would not, or not as plain memory."""
    torch = _torch()
    tensor = _plain(value, name)
    if tensor.is_inference() and not torch.is_inference_mode_enabled():
        raise ValueError(f"{name} is an inference tensor, which may be written under torch.inference_mode() only")
    if tensor.is_conj() or tensor.is_neg():
        raise ValueError(f"{name} is a lazily conjugated or negated view, which kernels do not write; pass its base")


def written(tensor):
    """Tell autograd that a tensor was changed in place, so that it does not use the values of before: 0.15 us."""
    changes()((tensor,))


@functools.cache
def changes():
    """PyTorch's function that counts the changes of a tuple of tensors; before 2.5 it took one tensor."""
    torch = _torch()
    count = torch._C._increment_version
    try:
        count((torch.empty(0),))
    except TypeError:
        return lambda tensors: [count(each) for each in tensors]
    return count


# --- JAX's arrays ---------------------------------------------------------------------------------------------


def jax_array(value, name):
    """Refuse what stands for an array of JAX while it traces, and arrays that are no more."""
    import jax

    if isinstance(value, jax.core.Tracer):
        raise TypeError(
            f"{name} is a tracer of JAX ({type(value).__name__}): this call is not traced by jax.jit, jax.grad, "
            "jax.vmap and the like; call it outside of them, or wrap it in jax.pure_callback"
        )
    if not isinstance(value, jax.Array):
        raise TypeError(f"{name} must be an array, got {type(value).__module__}.{type(value).__qualname__}")
    if jax.dtypes.issubdtype(value.dtype, jax.dtypes.extended):
        raise TypeError(f"{name} has dtype {value.dtype}, which is no dtype of numbers")
    if value.is_deleted():
        raise ValueError(f"{name} is an array that was deleted or donated")
