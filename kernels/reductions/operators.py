"""Users' operators as folds.

    s = op(op(f(x1), f(x2)), f(x3)) ...          in any grouping

An operator is a Python function of two numbers, or of two tuples of as many numbers, or a ufunc, or one of Python's.
Of some it is known which state changes none that it is merged with. A fold of any other has a flag in front of its
state, whether there is one at all:

    (0, *) + s = s,    s + (0, *) = s,    (1, a) + (1, b) = (1, op(a, b))

What a thread has just loaded has its flags set, which the compiler sees: they cost nothing where elements are merged.
"""

import functools
import inspect
import operator
import types

import numpy as np

from ..device.folds import tupled
from ..device.functions import identity, implementation
from ..device.instructions import device_function
from ..device.scalar import compute_dtype
from ..device.users import parameters_of, result_dtypes, with_device_functions
from ..pairing import REGISTRY
from .folds import highest, lowest
from .kernels import Fold

BOOL = np.dtype(bool)

#: Python's own operators, as ufuncs.
UFUNCS = {
    operator.add: np.add, operator.mul: np.multiply, max: np.maximum, min: np.minimum, operator.and_: np.bitwise_and,
    operator.or_: np.bitwise_or, operator.xor: np.bitwise_xor,
}  # fmt: skip

#: What changes nothing, by the dtype of the state.
NEUTRAL = {
    np.add: lambda dtype: 0,
    np.multiply: lambda dtype: 1,
    np.maximum: lowest,
    np.minimum: highest,
    np.logical_and: lambda dtype: True,
    np.logical_or: lambda dtype: False,
    np.logical_xor: lambda dtype: False,
    np.bitwise_and: lambda dtype: ~dtype.type(0),
    np.bitwise_or: lambda dtype: 0,
    np.bitwise_xor: lambda dtype: 0,
}


class Expression:
    """What a user asks for: an operator, what it is given of each lane, what becomes of its state.

    Parameters
    ----------
    op : callable
    function, finish : function, optional
        Of a lane's numbers to a state, and of a state to a result; either is left out where nothing is to be done.
    name : str, optional
        What error messages call the operator.

    Raises
    ------
    TypeError
        For what is no operator, or no function of numbers.
    """

    def __init__(self, op, function=None, finish=None, name="op"):
        self.op, self.function, self.last, self._name = UFUNCS.get(op, op), function, finish, name
        two = len(parameters_of(op)) == 2 if inspect.isfunction(op) else callable(self.op)
        if not two or (isinstance(self.op, np.ufunc) and (self.op.nin, self.op.nout) != (2, 1)):
            raise TypeError(f"{name} must be a function of two numbers, got {op!r}")
        if finish is not None and len(parameters_of(finish)) != 1:
            raise TypeError("finish must be a function of one argument, the state")
        self.parameters = ("x",) if function is None else parameters_of(function)
        self.fold = functools.lru_cache(maxsize=256)(self._fold)

    @property
    def known(self):
        """Whether it is known what changes nothing."""
        return isinstance(self.op, np.ufunc) and self.op in NEUTRAL

    @property
    def identity(self):
        """Whether nothing has a result: not of extremes, as for NumPy."""
        return self.known and self.op.identity is not None

    def states(self, ins):
        """Dtypes of the states of lanes of these dtypes, as the operator returns them."""
        if self.function is None:
            found = tuple(map(np.dtype, ins))
        else:
            found = result_dtypes(self.function, ins)
        for _ in range(4):
            then = self._merged(found)
            if len(then) != len(found):
                raise TypeError(f"{self._name} returns {len(then)} number(s) where it is given {len(found)}")
            if then == found:
                return found
            found = then
        raise TypeError(f"{self._name} returns another dtype whenever it is given what it returned: {found}")

    def _merged(self, state):
        try:
            if len(state) == 1:
                return result_dtypes(self.op, state * 2)
            return result_dtypes(lambda *parts: self.op(parts[: len(state)], parts[len(state) :]), state * 2)
        except (TypeError, ValueError, IndexError) as error:
            listed = ", ".join(map(str, state))
            raise TypeError(f"{self._name} does not take two states of {listed}: {error}") from error

    def outs(self, state):
        """Dtypes of the results."""
        if self.last is None:
            return state
        if len(state) == 1:
            return result_dtypes(self.last, state)
        return result_dtypes(lambda *parts: self.last(parts), state)

    def merge(self, state):
        """The device function that merges two states of these dtypes, number by number."""
        if isinstance(self.op, np.ufunc):
            found = implementation(self.op, state * 2) if len(state) == 1 else None
            if found is None:
                raise TypeError(f"{self._name}: {self.op.__name__} is not defined for {', '.join(map(str, state))}")
            return found
        count, op = len(state), device_function(_called(self.op))
        if count == 1:
            return op

        @device_function
        def merge(*parts):
            return op(parts[:count], parts[count:])

        return merge

    def _fold(self, dtypes, dtype, setting, initial, masked):
        """The `Fold`; `setting` is unused."""
        if dtype is None:
            out = self.states(dtypes)
        else:
            out = (dtype,)
            if self.function is not None and len(result_dtypes(self.function, dtypes)) > 1:
                raise TypeError("dtype must be None where the state has several numbers")
        state = tuple(map(compute_dtype, out))
        merge = self.merge(state)
        joined = tupled(merge, state + state, state)
        lift = identity if self.function is None else device_function(with_device_functions(self.function))
        value = _with_initial(joined, len(state), not self.known) if initial else _without_flag(not self.known)
        finish = _ending(value, len(state), self.last and device_function(with_device_functions(self.last)))
        if self.known:
            kept, neutral = state, (NEUTRAL[self.op](state[0]),)
        else:
            kept, neutral = (BOOL, *state), (False,) * (1 + len(state))
            lift, merge = _present(tupled(lift, dtypes, state)), _either(joined, len(state))
        outs = self.outs(out)
        return Fold("reduce", dtypes, kept, state if initial else (), outs if len(outs) > 1 else outs[0], lift, merge,
                    finish, neutral, masked=masked)  # fmt: skip

    def reference(self, *arrays, axis, keepdims, where, fold, setting, initial):
        """The results in NumPy: one element after the other."""
        state = fold.state if self.known else fold.state[1:]
        shape = arrays[0].shape
        if self.known and self.function is None and self.last is None:
            begin = NEUTRAL[self.op](state[0]) if initial is None else initial
            more = {"initial": state[0].type(begin)} | ({} if where is True else {"where": where})
            given = arrays[0].astype(state[0], copy=False)
            return self.op.reduce(given, axis=axis, dtype=state[0], keepdims=keepdims, **more)
        kinds = [d if isinstance(d, type) else compute_dtype(d).type for d in fold.ins]
        counts = np.broadcast_to(where, shape)
        kept = tuple(1 if k in axis else n for k, n in enumerate(shape))
        begin = None if initial is None else self.cast(initial, state)
        if begin is None and self.known:
            begin = self.cast(NEUTRAL[self.op](state[0]), state)
        found = np.full(kept, None, object)
        for index in np.ndindex(kept):
            found[index] = begin
        for index in np.ndindex(shape):
            if counts[index]:
                lane = [kind(x[index]) for kind, x in zip(kinds, arrays, strict=True)]
                one = self.cast(lane[0] if self.function is None else self.function(*lane), state)
                place = tuple(0 if k in axis else i for k, i in enumerate(index))
                found[place] = one if found[place] is None else self.cast(self.op(found[place], one), state)
        results = [np.empty(kept, d) for d in fold.outs]
        for index in np.ndindex(kept):
            value = found[index] if self.last is None else self.last(found[index])
            for y, part in zip(results, value if isinstance(value, tuple) else (value,), strict=True):
                y[index] = part
        results = (
            results if keepdims else [y.reshape([n for k, n in enumerate(shape) if k not in axis]) for y in results]
        )
        return results[0] if len(results) == 1 else results

    @staticmethod
    def cast(value, state):
        """A number or a tuple of numbers as a state."""
        if len(state) == 1:
            (value,) = value if isinstance(value, tuple) else (value,)
            return state[0].type(value)
        return tuple(d.type(v) for d, v in zip(state, value, strict=True))


def _called(op):
    """`op` as a Python function that kernels can have: a built-in in one."""
    return with_device_functions(op) if inspect.isfunction(op) else lambda a, b: op(a, b)


# --- the functions of such folds ------------------------------------------------------------------------------------


def _present(lift):
    @device_function
    def present(*lane):
        return (True, *lift(lane))

    return present


def _either(joined, count):
    middle, after = count + 1, count + 2  # Numba slices tuples at constants, and adds none up

    @device_function
    def either(*parts):
        f, a, g, b = parts[0], parts[1:middle], parts[middle], parts[after:]
        value = a if f else b
        if f and g:
            value = joined(a + b)
        return (f or g, *value)

    return either


def _without_flag(flagged):
    start = 1 if flagged else 0

    @device_function
    def value(*parts):
        return parts[start:]

    return value


def _with_initial(joined, count, flagged):
    middle = count + 1

    @device_function
    def merged(*parts):
        return joined(parts[count:] + parts[:count])

    @device_function
    def merged_if_any(*parts):
        value = parts[middle:]
        if parts[0]:
            value = joined(value + parts[1:middle])
        return value

    return merged_if_any if flagged else merged


def _ending(value, count, last):
    @device_function
    def number(*parts):
        return value(*parts)[0]

    @device_function
    def several(*parts):
        return value(*parts)

    @device_function
    def of_number(*parts):
        return last(value(*parts)[0])

    @device_function
    def of_several(*parts):
        return last(value(*parts))

    if last is None:
        return number if count == 1 else several
    return of_number if count == 1 else of_several


# --- equal functions ------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1024)
def _in_python(function, count):
    """A ufunc or a function of this package, inside a Python function of as many numbers."""
    return {1: lambda x: function(x), 2: lambda x, y: function(x, y), 3: lambda x, y, z: function(x, y, z)}[count]


def plain(function):
    """A function of numbers as a Python function; what it is made of, where it is a ufunc or a function of ours."""
    if isinstance(function, np.ufunc):
        return _in_python(function, function.nin)
    if getattr(function, "_is_fused", False):
        return function.__wrapped__
    pair = REGISTRY.get(getattr(function, "__name__", None))
    if pair is not None and pair.function is function:
        parameters = inspect.signature(function).parameters.values()
        return _in_python(function, sum(p.kind is p.POSITIONAL_ONLY and p.default is p.empty for p in parameters))
    return function


def settled(function):
    """The first function that was the same as this one: a lambda in a loop is a new object each time around.

    Functions are the same where their code, defaults and module are, and the numbers and functions that they enclose.
    """
    if not isinstance(function, types.FunctionType):
        return function
    cells = tuple(cell.cell_contents for cell in function.__closure__ or ())
    held = (*cells, *(function.__defaults__ or ()))
    if not all(type(v) in _PLAIN for v in held):
        return function
    # 1, 1.0 and True are equal, as 0.0 and -0.0 are.
    marks = tuple(v if callable(v) else (type(v), repr(v)) for v in held)
    key = function.__code__, len(cells), marks, id(function.__globals__)
    if len(_settled) >= 4096:
        _settled.clear()
    return _settled.setdefault(key, function)


_settled = {}
_PLAIN = {bool, int, float, complex, types.FunctionType, types.BuiltinFunctionType, np.ufunc}
