"""The numbers of kernels that run as Python: NumPy's scalars, where Numba's types and NumPy's agree, and a few more.

A value of a kernel has one of these types.

=====================  ==============================================================================================
Numba                  here
=====================  ==============================================================================================
int64                  ``np.int64``: literals, indices and the result of all arithmetic with a signed integer
int8, int16, int32     `Int8`, `Int16`, `Int32`: an ``np.int64`` that knows its width, until something is computed
uint8 ... uint64       `Uint8` ... `Uint64`: an ``np.uint64`` whose operators are Numba's: 64 bits, signed where one
                       operand is; NumPy would give float64
boolean                `Boolean`: an ``np.int64`` that is 0 or 1, whose sums are int64; NumPy's would be boolean
complex                `Complex64`, `Complex128`: NumPy's, with the quotients and powers of CPython, which Numba has
float16 ... float64    NumPy's
=====================  ==============================================================================================

Left as NumPy has them: the quotient -2**63 // -1, where Numba says 0; the type of // and % of two float16, which Numba
makes float32; complex powers of infinity; arithmetic of two booleans that are both results of ``not``, which is
Python's integer.

Nothing here raises, as nothing does on a device; the caller holds ``np.errstate(all="ignore")``.

Source: numba's ``core/typing/builtins.py`` and ``cpython/numbers.py``, which the tests compare with bit for bit; PTX
ISA, cvt, for floats out of an integer's range.
"""

import builtins
import dis
import functools
import itertools
import math
import operator
import types

import numpy as np

_LARGEST = 2**63 - 1
_WORD = 2**64 - 1
_int64, _uint64, _float64 = np.int64, np.uint64, np.float64


def _signed(value):
    """An integer's 64 bits, read with a sign, as Python's int."""
    number = int(value)
    return number if number <= _LARGEST else number - 2**64


# --- integers that are not int64 -----------------------------------------------------------------------------------

#: How an operator takes the other operand: with these types of Numba it is ...
_SIGNED, _UNSIGNED, _HALF, _SINGLE, _DOUBLE = range(5)


def _meet(own, other):
    """Both operands as an operator of NumPy takes them: Python's own numbers are weak."""
    kind = _KINDS.get(type(other))
    if kind is _SIGNED:
        other = other if type(other) not in _OWN_SIGNED else _int64(int(other))
        return _signed(own), other
    if kind is _UNSIGNED:  # and `own` is signed
        return _int64(int(own)), _signed(other)
    if kind is _DOUBLE:
        return float(own), other
    if kind is _SINGLE:
        return float(own), other if own.narrow else _DOUBLED[type(other)](other)
    if kind is _HALF:  # which holds an int8
        return float(own), other if type(own) in (Int8, Boolean) else (np.float32 if own.narrow else _float64)(other)
    return NotImplemented, NotImplemented


def _quotient(own, other):
    kind = _KINDS.get(type(other))
    if kind is _SIGNED or kind is _UNSIGNED:
        return _float64(int(own)), float(other)
    return _meet(own, other)


def _operator(operation, name, meet=_meet):
    native = getattr(_uint64, name) if meet is _meet else None

    def forward(self, other):
        if native is not None and isinstance(self, _uint64) and isinstance(other, _uint64):
            return Uint64(native(self, other))
        x, y = meet(self, other)
        return NotImplemented if x is NotImplemented else operation(x, y)

    def reflected(self, other):
        x, y = meet(self, other)
        return NotImplemented if x is NotImplemented else operation(y, x)

    return forward, reflected


def _comparison(operation):
    def compare(self, other):
        kind = _KINDS.get(type(other))
        if kind is _SIGNED or kind is _UNSIGNED:
            x, y = int(self), int(other)
            kinds = {type(self), type(other)}
            if kind is not _KINDS[type(self)] and Uint64 in kinds and not kinds & BOOLEANS:
                x, y = float(x), float(y)  # Numba compares uint64 with signed integers as float64
            return TRUE if operation(x, y) else FALSE
        x, y = _meet(self, other)
        return NotImplemented if x is NotImplemented else operation(x, y)

    return compare


def _shift_left(self, other):
    bits = int(other)
    return self.word(_wrapped(int(self) << bits, 64, self.word is _int64) if 0 <= bits < 64 else 0)


def _shift_right(self, other):
    bits = int(other)
    return self.word(int(self) >> bits if 0 <= bits < 64 else -(int(self) < 0))


def _methods():
    """The operators of a type that NumPy would not treat as Numba does."""
    for name, operation in {
        "add": operator.add, "sub": operator.sub, "mul": operator.mul, "floordiv": operator.floordiv,
        "mod": operator.mod, "and": operator.and_, "or": operator.or_, "xor": operator.xor,
    }.items():  # fmt: skip
        yield from zip((f"__{name}__", f"__r{name}__"), _operator(operation, f"__{name}__"), strict=True)
    yield from zip(("__truediv__", "__rtruediv__"), _operator(operator.truediv, "__truediv__", _quotient), strict=True)
    for name in ("lt", "le", "gt", "ge", "eq", "ne"):
        yield f"__{name}__", _comparison(getattr(operator, name))
    yield "__lshift__", _shift_left
    yield "__rshift__", _shift_right
    yield "__rlshift__", lambda self, other: _int64(other) << _signed(self)
    yield "__rrshift__", lambda self, other: _int64(other) >> _signed(self)
    yield "__pow__", lambda self, other, modulus=None: power(self, other)
    yield "__rpow__", lambda self, other, modulus=None: power(other, self)
    yield "__divmod__", lambda self, other: _divmod(self, other)
    yield "__rdivmod__", lambda self, other: _divmod(other, self)
    yield "__hash__", lambda self: hash(int(self))
    # NumPy's scalars let the operators of a type of higher priority decide.
    yield "__array_priority__", 1000.0


def _wrapped(number, width, signed):
    """An integer's lowest bits, as Python's int."""
    number &= (1 << width) - 1
    return number - (1 << width) if signed and number >> (width - 1) else number


def _integer(name, width, base, methods):
    """A type of integers of one width."""
    signed = base is _int64

    class Integer(base):
        __slots__ = ()
        bits = width
        #: Whether arithmetic with a float32 stays in float32.
        narrow = width <= 8 or (signed and width == 16)

        def __neg__(self):
            return self.word(_wrapped(-int(self), width, signed))

        def __pos__(self):
            return self.word(int(self))

        def __invert__(self):
            return self.word(_wrapped(~int(self), width, signed))

        def __abs__(self):
            return type(self)(_wrapped(abs(int(self)), width, signed))

        def __repr__(self):
            return f"{name}({int(self)})"

    for method, function in methods.items():
        setattr(Integer, method, function)
    Integer.__name__ = Integer.__qualname__ = name
    Integer.__doc__ = f"{'A signed' if signed else 'An unsigned'} integer of {width} bits."
    return Integer


_METHODS = dict(_methods())
Int8, Int16, Int32 = (
    _integer(f"Int{width}", width, _int64, methods) for width, methods in ((8, _METHODS), (16, _METHODS), (32, {}))
)
Uint8, Uint16, Uint32, Uint64 = (_integer(f"Uint{width}", width, _uint64, _METHODS) for width in (8, 16, 32, 64))
for _type in (Int8, Int16, Int32):
    _type.word = _int64
for _type in (Uint8, Uint16, Uint32, Uint64):
    _type.word = Uint64


def _logical(name):
    operation = getattr(operator, name)

    def operate(self, other):
        found = operation(int(self), int(other)) if type(other) in BOOLEANS else None
        return _METHODS[f"__{name.rstrip('_')}__"](self, other) if found is None else TRUE if found else FALSE

    return operate


class Boolean(_integer("Boolean", 1, _int64, _METHODS)):
    """A boolean: an integer in arithmetic, as Numba and C have it."""

    __slots__ = ()
    word = _int64
    __and__ = __rand__ = _logical("and_")
    __or__ = __ror__ = _logical("or_")
    __xor__ = __rxor__ = _logical("xor")

    def __invert__(self):
        return FALSE if self else TRUE

    def __abs__(self):
        return Int8(int(self))

    def __format__(self, how):
        return format(bool(self), how)

    def __repr__(self):
        return str(bool(self))

    __str__ = __repr__


TRUE, FALSE = Boolean(1), Boolean(0)
#: What a boolean may be: that of kernels, one that NumPy has just compared, and one that Python's ``not`` has made.
BOOLEANS = {Boolean, np.bool_, bool}


def boolean(value):
    """Whether a value is true."""
    return TRUE if value else FALSE


_OWN_SIGNED = {Int8, Int16, Boolean, int, bool}
_KINDS = dict.fromkeys((_int64, Int8, Int16, Int32, Boolean, np.bool_, int, bool), _SIGNED)
_KINDS.update(dict.fromkeys((Uint8, Uint16, Uint32, Uint64), _UNSIGNED))

# --- complex numbers -----------------------------------------------------------------------------------------------


def _complex_type(name, base):
    """A type of complex numbers."""

    class Complex(base):
        __slots__ = ()
        __array_priority__ = 900.0  # integers decide for themselves

        def __truediv__(self, other):
            return divide(self, other)

        def __rtruediv__(self, other):
            return divide(other, self)

        def __pow__(self, other, modulus=None):
            return power(self, other)

        def __rpow__(self, other, modulus=None):
            return power(other, self)

    def kept(native):
        def method(*operands):
            return typed(native(*operands))

        return method

    for method in ("add", "radd", "sub", "rsub", "mul", "rmul", "neg", "pos"):
        setattr(Complex, f"__{method}__", kept(getattr(base, f"__{method}__")))
    Complex.conjugate = Complex.conj = kept(base.conjugate)
    Complex.__name__ = Complex.__qualname__ = name
    Complex.__doc__ = f"A complex number of {base().nbytes * 8} bits."
    return Complex


Complex64, Complex128 = _complex_type("Complex64", np.complex64), _complex_type("Complex128", np.complex128)

_KINDS.update(dict.fromkeys((np.float32, np.complex64, Complex64), _SINGLE))
_KINDS[np.float16] = _HALF
_KINDS.update(dict.fromkeys((np.float64, np.complex128, Complex128, float, complex), _DOUBLE))
_DOUBLED = {np.float16: np.float64, np.float32: np.float64, np.complex64: Complex128, Complex64: Complex128}

# --- conversions ---------------------------------------------------------------------------------------------------

_INTEGERS = {
    np.dtype(native): own
    for native, own in {
        np.int8: Int8, np.int16: Int16, np.int32: Int32, np.int64: _int64,
        np.uint8: Uint8, np.uint16: Uint16, np.uint32: Uint32, np.uint64: Uint64,
    }.items()
}  # fmt: skip
_DTYPES = {own: dtype for dtype, own in _INTEGERS.items()}
_DTYPES |= {int: np.dtype(np.int64), float: np.dtype(np.float64), bool: np.dtype(np.bool_), _uint64: np.dtype(_uint64)}
_DTYPES |= {Boolean: np.dtype(np.bool_), Complex64: np.dtype("F"), Complex128: np.dtype("D"), complex: np.dtype("D")}


def dtype_of(value):
    """The NumPy dtype of a value of a kernel."""
    found = _DTYPES.get(type(value))
    return np.dtype(type(value)) if found is None else found


def raw(value):
    """The value as NumPy's plain scalar of its dtype; tuples of them, too."""
    native = _RAW.get(type(value))
    return value if native is None else native(value)


def _raw_integer(native):
    return lambda value: native(int(value))


_RAW = {
    own: dtype.type if dtype.kind == "c" else _raw_integer(dtype.type)
    for own, dtype in _DTYPES.items()
    if own not in (float, _int64, _uint64)
}
_RAW[tuple] = lambda parts: tuple([raw(part) for part in parts])


def typed(value):
    """The value of a kernel that NumPy's plain scalar, or Python's number, stands for; tuples of them, too."""
    kind = type(value)
    if kind is tuple:
        return tuple([typed(part) for part in value])
    load = _LOADERS.get(kind)
    return value if load is None else load(value)


def loader(dtype):
    """A function that makes NumPy's plain scalar of a dtype a value of a kernel; None where it is one."""
    return _LOADERS.get(np.dtype(dtype).type)


def _load(own):
    few = {number: own(number) for number in range(256)}  # to make one takes 200 ns

    def load(value):
        number = operator.index(value)
        found = few.get(number)
        return own(number) if found is None else found

    return load


_LOADERS = {dtype.type: _load(own) for dtype, own in _INTEGERS.items() if own is not _int64}
_LOADERS |= {int: _int64, float: _float64, bool: boolean, np.bool_: boolean}
_LOADERS |= {np.complex64: Complex64, np.complex128: Complex128, complex: Complex128}


def _truncated(value, width, signed):
    """A float as an integer, as PTX cvt.rzi: towards zero, to the nearest in range; as Python's int."""
    low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)
    if value != value:
        return (low or 1 << (width - 1)) if width == 64 or type(value) is _float64 else 0
    if math.isinf(value):
        return high if value > 0 else low
    return min(max(int(value), low), high)


def _narrower(width, signed):
    """What a value is as an integer of a width, as Python's int."""
    low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)

    def convert(value):
        if type(value) is _int64:
            number = operator.index(value)
        elif isinstance(value, (np.floating, float)):
            # A byte is converted through 16 bits, for PTX has no smaller register.
            number = _truncated(value, max(width, getattr(value, "narrowest", 16)), signed)
        else:
            number = int(value)
        return number if low <= number <= high else _wrapped(number, width, signed)

    return convert


def _caster(own, narrow):
    return lambda value: value if type(value) is own else own(narrow(value))


def _plain(native):
    def convert(value):
        return value if type(value) is native else native(value)

    return convert


_NARROWER = {dtype: _narrower(dtype.itemsize * 8, dtype.kind == "i") for dtype in _INTEGERS}
_CASTS = {dtype: _caster(own, _NARROWER[dtype]) for dtype, own in _INTEGERS.items()}
_CASTS |= {np.dtype(letter): _plain(np.dtype(letter).type) for letter in "efd"}
_CASTS |= {np.dtype(np.bool_): boolean, np.dtype("F"): _plain(Complex64), np.dtype("D"): _plain(Complex128)}


def cast(dtype, value):
    """A value as another dtype, as C casts it; a value of any other dtype than a number's is left alone.

    Floats become integers as PTX converts them: NaN is 0 in up to 32 bits of a float32 and else the lowest bit
    pattern of the sign; what is out of range is the nearest in range. Integers lose their upper bits.
    """
    convert = _CASTS.get(dtype)
    if convert is None:
        convert = _CASTS.get(np.dtype(dtype))
    return value if convert is None else convert(value)


def caster(dtype):
    """The function of one argument that `cast` is for a dtype."""
    return _CASTS.get(np.dtype(dtype), lambda value: value)


def storer(dtype):
    """A function that makes any value what NumPy stores in an array of a dtype as C does."""
    return _NARROWER.get(dtype) or (lambda value: raw(cast(dtype, value)))


# --- operators that NumPy's types have otherwise -------------------------------------------------------------------


def power(base, exponent):
    """``base ** exponent``: of an integer, by multiplications in the type of the base."""
    kind = type(base)
    if type(exponent) is _int64 and (kind is np.float32 or kind is _float64 or kind is _int64) and exponent == 2:
        return base * base
    base, exponent = _number(base), _number(exponent)
    if isinstance(base, np.complexfloating) or isinstance(exponent, np.complexfloating):
        return _complex_power(base, exponent)
    if isinstance(base, np.floating):
        return base**exponent if isinstance(exponent, np.floating) else _power_of_float(base, int(exponent))
    if isinstance(exponent, np.floating):
        return _like(base, exponent) ** _like(exponent, base)
    return _power_of_integer(base, exponent)


def _number(value):
    """Python's numbers as NumPy's."""
    return typed(value) if type(value) in _PLAIN else value


_PLAIN = {int, float, bool, complex, np.bool_, np.complex64, np.complex128}


def _power_of_float(base, count):
    if abs(count) > _MULTIPLICATIONS:
        return type(base)(_float64(base) ** _float64(count))
    found, square, left = type(base)(1), base, abs(count)
    while left:
        if left & 1:
            found = found * square
        left >>= 1
        square = square * square
    return found if count >= 0 else type(base)(1) / found


#: Above this exponent Numba calls the function of floats.
_MULTIPLICATIONS = 0x10000


def _power_of_integer(base, exponent):
    signed = not (isinstance(base, _uint64) and isinstance(exponent, _uint64))
    convert = _CASTS[np.dtype(_int64 if signed else _uint64)]
    base, count = _signed(base) if signed else int(base), int(exponent)
    if count < 0:
        if base == 0:
            return convert(-(2**63))
        if base not in (1, -1):
            return convert(0)
        count = -count
    if count > _MULTIPLICATIONS:
        return convert(_float64(base) ** _float64(count))
    return convert(pow(base, count, 2**64))


def _like(value, other):
    """`value` in the type that arithmetic of the two has, one of them an integer, the other a float or complex."""
    integer, real = (value, other) if isinstance(value, np.integer) else (other, value)
    if isinstance(integer, np.integer):
        kind = type(real) if getattr(integer, "narrow", False) else _DOUBLED.get(type(real), type(real))
    else:
        kind = np.result_type(dtype_of(value), dtype_of(other)).type
        kind = _LOADERS.get(kind, kind)
    return kind(value if isinstance(value, np.inexact) else int(value))


def _complex_power(base, exponent):
    base, exponent = _like(base, exponent), _like(exponent, base)
    if exponent == 2:
        return base * base
    try:
        return type(base)(_polar_power(complex(base), complex(exponent)))
    except (OverflowError, ValueError):
        return base**exponent


def _polar_power(a, b):
    """CPython's ``_Py_c_pow``, which Numba calls; ``a**b`` would multiply for small integers."""
    if b == 0:
        return 1 + 0j
    if a == 0:
        return 0j if b.imag == 0 and b.real >= 0 else complex(math.nan, math.nan)
    size, angle = math.hypot(a.real, a.imag), math.atan2(a.imag, a.real)
    length, phase = size**b.real, angle * b.real
    if b.imag != 0:
        length /= math.exp(angle * b.imag)
        phase += b.imag * math.log(size)
    return complex(length * math.cos(phase), length * math.sin(phase))


def divide(a, b):
    """``a / b`` of complex numbers, by CPython's algorithm, as Numba does."""
    a, b = _number(a), _number(b)
    a, b = _like(a, b), _like(b, a)
    kind, x, y, c, d = type(a), a.real, a.imag, b.real, b.imag
    if abs(c) >= abs(d):
        ratio = d / c
        denominator = c + d * ratio
        return kind(complex((x + y * ratio) / denominator, (y - x * ratio) / denominator))
    if abs(d) >= abs(c):
        ratio = c / d
        denominator = c * ratio + d
        return kind(complex((x * ratio + y) / denominator, (y * ratio - x) / denominator))
    return kind(complex(math.nan, math.nan))


def _divmod(a, b):
    a, b = _number(a), _number(b)
    unsigned = isinstance(a, _uint64), isinstance(b, _uint64)
    if any(unsigned) and all(isinstance(v, np.integer) for v in (a, b)):
        if all(unsigned) or isinstance(a, Boolean) or isinstance(b, Boolean):
            a, b = _as_unsigned(a), _as_unsigned(b)
        elif type(a) is Uint64 or type(b) is Uint64:
            a, b = _float64(int(a)), _float64(int(b))
    return a // b, a % b


_as_unsigned = _CASTS[np.dtype(_uint64)]


# --- built-in functions --------------------------------------------------------------------------------------------

# The numbers of most loops, made once.
_FEW = 4096
_SMALL = [_int64(i) for i in range(_FEW)]
_SMALL_32 = [Int32(i) for i in range(_FEW)]


def _range(*arguments):
    """The integers of a loop: int64; int32 or uint64 where all arguments are."""
    if len(arguments) == 1 and type(arguments[0]) is _int64 and 0 <= arguments[0] <= _FEW:
        return _SMALL[: arguments[0]]
    kinds = {type(a) for a in arguments}
    start, stop, step = map(int, (0, *arguments, 1) if len(arguments) == 1 else (*arguments, 1)[:3])
    if kinds <= _UP_TO_32:
        table, own = _SMALL_32, Int32
    elif kinds <= _OWN_UNSIGNED:
        table, own = None, Uint64
    else:
        table, own = _SMALL, _int64
    if table is not None and start >= 0 and stop <= _FEW and step > 0:
        return table[start : max(stop, 0) : step]
    return map(own, range(start, stop, step))


_UP_TO_32 = {Int8, Int16, Int32, Boolean}
_OWN_UNSIGNED = {Uint8, Uint16, Uint32, Uint64}


def _length(value):
    return _int64(len(value))


def _int(value=0):
    value = _number(value)
    if isinstance(value, np.floating):
        return _CASTS[np.dtype(_int64)](value)
    return _int64(int(value)) if type(value) is Boolean else value


def _float(value=0.0):
    return value if isinstance(value, np.floating) else _float64(value)


def _complex(real=0.0, imag=None):
    if imag is None:
        return Complex64(real) if type(real) is np.float32 else Complex128(real)
    single = type(real) is np.float32 and type(imag) is np.float32
    return (Complex64 if single else Complex128)(complex(float(real), float(imag)))


def _bool(value=False):
    return boolean(value)


def _abs(value):
    return abs(_number(value))


@functools.cache
def _decimals():
    from ..functions import BUILTINS as others

    return others["round"]


def _round(value, digits=None):
    if digits is not None:
        return _decimals()(raw(value), raw(digits))
    value = _number(value)
    if not isinstance(value, np.floating):
        value = (np.float32 if getattr(value, "narrow", False) else _float64)(int(value))
    return _CASTS[np.dtype(_int64)](np.rint(value))


def _extreme(precedes):
    """`min` or `max`: a number rather than NaN, and -0 less than +0, as PTX has it."""

    def choose(x, y):
        if precedes(x, y):
            return x
        if precedes(y, x):
            return y
        if x != x:
            return y
        if y != y or not isinstance(x, np.floating):
            return x
        return x if precedes(math.copysign(1.0, x), math.copysign(1.0, y)) else y

    def extreme(*values):
        values = values[0] if len(values) == 1 else values
        kind = type(values[0])
        if kind not in _NATIVE or any([type(v) is not kind for v in values]):
            values = [_number(v) for v in values]
            convert = _CASTS[np.result_type(*map(dtype_of, values))]
            values = [convert(v) for v in values]
        found = values[0]
        for value in values[1:]:
            found = choose(found, value)
        return found

    return extreme


_NATIVE = {_int64, Int32, np.float32, np.float64}


def _sum(values, start=0):
    start = _number(start)
    for value in values:
        start = start + _number(value)
    return start


#: What built-in functions become in kernels.
BUILTINS = {
    "range": _range, "len": _length, "int": _int, "float": _float, "complex": _complex, "bool": _bool, "abs": _abs,
    "round": _round, "min": _extreme(operator.lt), "max": _extreme(operator.gt), "sum": _sum, "divmod": _divmod,
    "pow": power,
}  # fmt: skip

# --- code ----------------------------------------------------------------------------------------------------------


def constant(value):
    """What a literal becomes: an int is int64, or uint64 where that is too small; a float is float64."""
    kind = type(value)
    if kind is int:
        return _int64(value) if -(2**63) <= value <= _LARGEST else Uint64(value) if 0 <= value <= _WORD else value
    if kind is tuple:
        return tuple([constant(part) for part in value])
    convert = _CONSTANTS.get(kind)
    return value if convert is None else convert(value)


_CONSTANTS = {bool: boolean, float: _float64, complex: Complex128}


def _keeping(compare):
    return lambda a, b: TRUE if compare(a, b) else FALSE


#: Operators that types cannot have, by their symbols.
_OPERATORS = {"**": power} | {
    symbol: _keeping(compare)
    for symbol, compare in {
        "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
    }.items()
}  # fmt: skip


def _import_or_operate(name, globals=None, locals=None, fromlist=(), level=0):
    operation = _OPERATORS.get(name)
    if operation is None:
        return builtins.__import__(name, globals, locals, fromlist, int(level))
    return operation(level, fromlist)


#: The built-in names of a function that `strong` returns.
NAMESPACE = {**vars(builtins), **BUILTINS, "__import__": _import_or_operate}


def strong(function):
    """A copy of a function whose literals are values of a kernel and whose operators and built-ins are Numba's.

    Two things cannot be had from types, because they are between NumPy's own scalars: powers, and comparisons whose
    result is kept and not just tested, which are `Boolean` then. There the instruction is replaced by the one other
    that hands two values from the stack to a Python function and leaves its result there: an import, for which Python
    asks the function ``__import__`` among the built-in names. No other instruction moves, so lines, jumps and what a
    debugger sees stay as they are.

    Plainer ways: floats and integers of our own type take 400 ns for a sum that takes NumPy's 40, here a power takes
    200 instead of 70 and a comparison that is kept 130 instead of 25, and nothing else takes longer. To rewrite the
    syntax tree needs the source, unchanged since it was loaded; to insert calls into the code moves all jumps.

    The function's globals must be a dictionary of its own: their built-in names become `NAMESPACE`.
    """
    function.__globals__["__builtins__"] = NAMESPACE
    copy = types.FunctionType(
        _strong_code(function.__code__), function.__globals__, function.__name__, function.__defaults__,
        function.__closure__,
    )  # fmt: skip
    copy.__defaults__ = function.__defaults__ and constant(function.__defaults__)
    copy.__kwdefaults__ = function.__kwdefaults__ and {k: constant(v) for k, v in function.__kwdefaults__.items()}
    copy.__module__, copy.__qualname__, copy.__doc__ = function.__module__, function.__qualname__, function.__doc__
    copy.__dict__.update(function.__dict__)
    return copy


def _strong_code(code):
    constants = tuple([_strong_code(c) if isinstance(c, types.CodeType) else constant(c) for c in code.co_consts])
    names = code.co_names + tuple(symbol for symbol in _OPERATORS if symbol not in code.co_names)
    if len(names) > 256:
        return code.replace(co_consts=constants)
    instructions = bytearray(code.co_code)
    for offset, end, symbol in _special(code):
        caches = (end - offset) // 2 - 1
        instructions[offset:end] = bytes((dis.opmap["IMPORT_NAME"], names.index(symbol))) + _NOTHING * caches
    return code.replace(co_consts=constants, co_names=names, co_code=bytes(instructions))


_NOTHING = bytes((dis.opmap["NOP"], 0))


def _special(code):
    """Where an instruction is to be replaced, where its room ends, and the symbol of its operator."""
    listed = list(dis.get_instructions(code))
    for k, this in enumerate(listed[:-1]):
        symbol = None
        if this.opname in ("BINARY_POWER", "INPLACE_POWER") or this.argrepr in ("**", "**="):
            symbol = "**"
        elif this.opname == "COMPARE_OP":
            user = next(i for i in itertools.islice(listed, k + 1, None) if i.opname != "EXTENDED_ARG")
            symbol = None if user.opname.startswith(_TESTS) else this.argval
        if symbol:
            yield this.offset, listed[k + 1].offset, symbol


#: What takes a truth value from the stack.
_TESTS = ("POP_JUMP", "TO_BOOL", "UNARY_NOT")
