"""Every pair, every loop: the fast half against the plain one.

Inputs are random numbers of the pair's domain, and the values at the edges of each dtype (NaN, infinities,
signed zeros, subnormal and limiting numbers). Integers, booleans and functions documented as exact must agree
exactly, the sign of zero included. Others must keep their documented error, in units in the last place,
within the domain, and agree with the reference on what is NaN, infinite or finite everywhere else.

The exact value is the reference computed in a wider format: float64 for float16 and float32, longdouble for
float64 where the platform has a wider one and the reference is NumPy's. SciPy computes in float64 at most;
there the reference's own error adds to the bound, or mpmath computes the exact value.
"""

import mpmath
import numpy as np
import pytest
from scipy import special

from kernels import REGISTRY
from kernels.device.instructions import SIMULATED
from kernels.device.scalar import compute_dtype
from kernels.testing import assert_equal_bits, assert_within, ulp, ulp_error
from kernels.testing.strategies import ordinary_values, special_values

RANDOM = 96 if SIMULATED else 100_000
BY_MPMATH = 96 if SIMULATED else 2_000
EDGES = 96 if SIMULATED else 20_000

WIDER = {"e": "d", "f": "d", "F": "D"}
if np.finfo(np.longdouble).nmant > np.finfo(np.float64).nmant:
    WIDER |= {"d": "g", "D": "G"}

#: What NumPy and SciPy themselves may err: NumPy admits 4 ulp for its vectorised loops, and Cephes and Boost,
#: which SciPy took functions from, state peak errors of 1 to 4 ulp. In the simulator the fast half is made of
#: their loops.
REFERENCE_ULPS = 4
OWN_ULPS = {None: REFERENCE_ULPS, "erfc": 40, "i1": 20} if SIMULATED else {None: 0}

#: The exact value in float64 where SciPy's is further off than that: 30 ulp for ndtr, 36 for erfc at 7.8, 135
#: for log_ndtr at 9.7, 15 for i1 at -7.5, 1100 for kl_div of nearly equal numbers, 45 for betaln where it is
#: nearly 0.
EXACTLY = {
    "erfc": mpmath.erfc,
    "i1": lambda x: mpmath.besseli(1, x),
    "ndtr": lambda x: mpmath.erfc(-x / mpmath.sqrt(2)) / 2,
    "log_ndtr": lambda x: mpmath.log1p(-mpmath.erfc(x / mpmath.sqrt(2)) / 2),
    "kl_div": lambda x, y: x * mpmath.log(x / y) - x + y,
    "rel_entr": lambda x, y: x * mpmath.log(x / y),
    "beta": mpmath.beta,
    "betaln": lambda x, y: mpmath.log(mpmath.beta(x, y)),
    "digamma": mpmath.digamma,
    "boxcox": lambda x, p: mpmath.powm1(x, p) / p,
    "boxcox1p": lambda x, p: mpmath.powm1(1 + x, p) / p,
    "gelu": lambda x: x * mpmath.erfc(-x / mpmath.sqrt(2)) / 2,
}

#: Pairs of which SciPy's float64 is no exact value of float32 either: kl_div of numbers that agree to five
#: digits loses ten of its sixteen, 28 ulp of a float32.
EXACTLY_IN_SINGLE = {"kl_div"}

#: Pairs whose reference in a wider format is another function: what they round depends on the format.
OWN_FORMAT = {
    "round": "x 10^decimals is a tie or not depending on how the product is rounded",
}

#: Inputs that a pair does not take: (pair, kinds of dtype) -> one (low, high) or None per input.
RANGES = {
    ("power", "i"): (None, (0, 20)),  # a negative exponent is an error: test_errors.py
    ("round", "iufc"): (None, (0, 3)),  # NumPy takes one int here: nothing says what NaN decimals are
}

#: Pairs of which either zero will do where both meet: which one NumPy returns depends on the array's length.
EITHER_ZERO = {"maximum", "minimum", "fmax", "fmin", "clip", "relu"}


def subnormal(x):
    """Nonzero numbers below the smallest normal one."""
    modulus = np.maximum(np.abs(x.real), np.abs(x.imag))
    return (modulus > 0) & (modulus < np.finfo(x.dtype).tiny)


def extreme_square(x):
    """Numbers whose square is not normal."""
    with np.errstate(all="ignore"):
        return ~np.isfinite(x * x) | (x * x < np.finfo(x.dtype).tiny)


def ratio(x, y):
    with np.errstate(all="ignore"):
        return x / y


def beyond_the_integral(x, y):
    """Where the integral that defines the beta function does not exist, or x + y is not finite."""
    with np.errstate(all="ignore"):
        return ~((x > 0) & (y > 0) & np.isfinite(x + y))


def gammaln_is_infinite(x):
    """Finite nonzero numbers whose gammaln SciPy has as infinite: where 1 / x overflows, and from 2.6e305 on."""
    return np.isinf(special.gammaln(x.astype("d"))) & np.isfinite(x) & (x != 0)


def without_gammaln(x, y):
    """Where SciPy's betaln is a difference of infinities."""
    with np.errstate(all="ignore"):
        return gammaln_is_infinite(x) | gammaln_is_infinite(y) | gammaln_is_infinite(x + y)


def quotient_is_no_number(x, y):
    """Where x / y of positive numbers is 0 or infinite in float64."""
    quotient = ratio(x.astype("d"), y.astype("d"))
    return (x > 0) & (y > 0) & np.isfinite(x) & np.isfinite(y) & ((quotient == 0) | np.isinf(quotient))


def at_the_end(function, *inputs):
    """Where a function's value is the largest number of the dtype, but for a thousandth."""
    largest = np.finfo(inputs[0].dtype).max
    with np.errstate(all="ignore"):
        value = np.abs(function(*(x.astype("d") for x in inputs)))
        return np.isfinite(value) & (value > 0.999 * largest) & (value / 1.001 < largest)


def at_the_branch_point(x, lmbda):
    """Where 1 + lmbda x is 0 but for the rounding of lmbda x."""
    with np.errstate(all="ignore"):
        return np.abs(1 + lmbda.astype("d") * x) <= np.finfo(x.dtype).eps


def largest_double(x):
    """The largest float64, of either sign."""
    return np.abs(x) == np.finfo(np.float64).max


def product_overflows(x, y):
    """Where a product of finite numbers is infinite in the dtype that it is computed in."""
    with np.errstate(all="ignore"):
        product = x.astype(compute_dtype(x.dtype)) * y.astype(compute_dtype(y.dtype))
        return np.isinf(product) & np.isfinite(x) & np.isfinite(y)


def step_overflows(x, y, weight):
    """Where the product in `lerp` overflows."""
    x, y, weight = (t.astype(compute_dtype(t.dtype)) for t in (x, y, weight))
    with np.errstate(all="ignore"):
        return product_overflows(y - x, np.where(np.abs(weight) < 0.5, weight, 1 - weight))


#: (pair, kinds of dtype) -> at which edges the reference is no guide, and why.
EDGE_EXCEPTIONS = {
    ("reciprocal", "iu"): (
        lambda x: x == 0,
        "1 / 0 as an integer is undefined in C, which is NumPy's answer",
    ),
    ("expm1", "c"): (lambda x: np.isinf(x.real), "NumPy's is NaN where e^x is 0 or infinite; ours is C99's"),
    ("divide", "c"): (lambda x, y: subnormal(y), "NumPy scales by the reciprocal of y, which overflows"),
    ("reciprocal", "c"): (subnormal, "NumPy divides by |x|^2, which underflows"),
    ("k0", "f"): (subnormal, "SciPy's is infinite; the limit is reached nowhere above 0"),
    ("k1", "f"): (subnormal, "SciPy's is NaN; 1 / x overflows"),
    ("sinc", "f"): (lambda x: np.abs(x) > np.finfo(x.dtype).max / 4, "NumPy's is NaN where pi x overflows"),
    ("pseudo_huber", "f"): (
        lambda delta, r: extreme_square(delta) | extreme_square(ratio(r, delta)),
        "SciPy squares delta and r / delta: NaN or infinite where a square overflows or vanishes",
    ),
    ("inv_boxcox1p", "f"): (
        lambda x, lmbda: (
            (np.abs(lmbda) < 1e-30 / np.maximum(np.abs(x), 1))
            | at_the_end(special.inv_boxcox1p, x, lmbda)
            | at_the_branch_point(x, lmbda)
        ),
        "SciPy answers x where lmbda x vanishes, the limit is e^x - 1; the rest as for inv_boxcox",
    ),
    ("beta", "f"): (
        lambda x, y: beyond_the_integral(x, y) | without_gammaln(np.fmax(x, 1), np.fmax(y, 1)),
        "ours ends where its integral does; SciPy's is NaN where it subtracts infinities, ours the limit 0",
    ),
    ("betaln", "f"): (
        lambda x, y: beyond_the_integral(x, y) | without_gammaln(x, y),
        "ours ends where its integral does; SciPy's is infinite or NaN where its gammaln is infinite",
    ),
    ("gammaln", "f"): (
        lambda x: (x == -np.inf) | (gammaln_is_infinite(x) & (np.abs(x) < 1)),
        "C's lgamma is inf at -inf, SciPy's -inf; SciPy's is infinite where 1 / x overflows, not ln |1 / x|",
    ),
    ("erfcinv", "f"): (
        lambda x: (x != 0) & (x.astype("d") / 2 == 0),
        "SciPy halves x, which vanishes: infinite for 5e-324, where erfcinv is 27.2",
    ),
    **{
        (name, "f"): (np.isinf, "SciPy's is NaN where its recurrence meets infinities; ours is the limit")
        for name in ("i0", "i1", "j0", "j1")
    },
    **{
        (name, "f"): (lambda x: x == np.inf, "SciPy's is NaN where it multiplies infinity and 0; ours is the limit 0")
        for name in ("y0", "y1")
    },
    ("kl_div", "f"): (quotient_is_no_number, "SciPy's is infinite where x / y is 0 or infinite; its logarithm is not"),
    ("boxcox", "f"): (
        lambda x, lmbda: at_the_end(special.boxcox, x, lmbda),
        "an error of a few ulps of the largest number is infinity",
    ),
    ("boxcox1p", "f"): (
        lambda x, lmbda: at_the_end(special.boxcox1p, x, lmbda),
        "an error of a few ulps of the largest number is infinity",
    ),
    ("inv_boxcox", "f"): (
        lambda x, lmbda: at_the_end(special.inv_boxcox, x, lmbda) | at_the_branch_point(x, lmbda),
        "an error of a few ulps of the largest number is infinity; at lmbda x = -1 the rounding of it decides",
    ),
    ("hypot", "f"): (
        lambda x, y: (largest_double(x) | largest_double(y)) & np.isfinite(x) & np.isfinite(y),
        "libdevice errs up to 2 ulp, which is infinity next to the largest float64",
    ),
    ("absolute", "c"): (
        lambda x: (largest_double(x.real) | largest_double(x.imag)) & np.isfinite(x),
        "libdevice's hypot errs up to 2 ulp, which is infinity next to the largest float64",
    ),
    ("axpy", "f"): (
        lambda a, x, y: product_overflows(a, x),
        "the compiler may fuse a x + y, which is finite, or infinity and not NaN, where a x alone overflows",
    ),
    ("lerp", "f"): (step_overflows, "the compiler may fuse, which is finite where the product alone overflows"),
}

CASES = [(name, loop) for name, pair in REGISTRY.items() if pair.family == "elementwise" for loop in pair.loops]
every_loop = pytest.mark.parametrize(("name", "loop"), CASES, ids=[f"{n}-{loop}" for n, loop in CASES])


def characters(loop):
    ins, outs = loop.split("->")
    return ins, outs


def bounds_of(pair, ins, k):
    """The interval that input k is drawn from."""
    low, high = pair.domain[k]
    for (name, kinds), ranges in RANGES.items():
        if name == pair.name and np.dtype(ins[0]).kind in kinds and ranges[k]:
            low, high = ranges[k]
    return low, high


def random_input(rng, pair, ins, k, size):
    dtype, (low, high) = np.dtype(ins[k]), bounds_of(pair, ins, k)
    if dtype.kind == "b":
        return rng.integers(0, 2, size).astype(bool)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        low, high = max(int(np.ceil(low)), info.min), min(int(high), info.max)
        return rng.integers(low, high, size, dtype, endpoint=True)
    if dtype.kind == "c":
        parts = rng.uniform(low, high, (size, 2)).astype(np.finfo(dtype).dtype)
        return parts.view(dtype)[:, 0]
    return np.clip(rng.uniform(low, high, size).astype(dtype), np.nextafter(dtype.type(low), dtype.type(high)), high)


def edges_of(pair, ins, k):
    dtype = np.dtype(ins[k])
    values = np.concatenate([special_values(dtype), ordinary_values(dtype)])
    for (name, kinds), ranges in RANGES.items():
        if name == pair.name and np.dtype(ins[0]).kind in kinds and ranges[k]:
            low, high = ranges[k]
            values = values[(values.real >= low) & (values.real <= high) & (values.imag == 0)]
    return values


def edge_inputs(rng, pair, ins):
    """All edges of one input; of several all combinations or, where they are too many, some at random."""
    edges = [edges_of(pair, ins, k) for k in range(len(ins))]
    count = int(np.prod([len(e) for e in edges]))
    chosen = np.arange(count) if count <= EDGES else rng.choice(count, EDGES, replace=False)
    places = np.unravel_index(chosen, [len(e) for e in edges])
    return [e[p] for e, p in zip(edges, places, strict=True)]


def in_a_tuple(results):
    return results if isinstance(results, tuple) else (results,)


def reference(pair, inputs):
    with np.errstate(all="ignore"):
        return in_a_tuple(pair.reference(*inputs))


def computed_by_mpmath(pair, outs):
    return (pair.name in EXACTLY and outs == "d") or (pair.name in EXACTLY_IN_SINGLE and outs == "f")


def exact_values(pair, loop, inputs):
    """The reference in the widest format that it takes, and its own error in ulps of the result."""
    ins, outs = characters(loop)
    if computed_by_mpmath(pair, outs):
        with mpmath.workdps(40):
            exact = [EXACTLY[pair.name](*map(mpmath.mpf, map(float, xs))) for xs in zip(*inputs, strict=True)]
        return [np.array(exact, dtype=object)], 0
    if pair.name in OWN_FORMAT:
        return computed_in_single(pair, inputs), 0
    wider = [x.astype(WIDER.get(c, c)) for x, c in zip(inputs, ins, strict=True)]
    try:
        values = reference(pair, wider)
    except TypeError:  # SciPy has no loop for longdouble
        values = ()
    if values and all(v.dtype.itemsize > np.dtype(c).itemsize for v, c in zip(values, outs, strict=True)):
        return values, 0
    return reference(pair, inputs), REFERENCE_ULPS


def computed_in_single(pair, inputs):
    """The reference, where that of float16 is computed in float32 and rounded once."""
    half = any(x.dtype == np.float16 for x in inputs)
    results = reference(pair, [x.astype(compute_dtype(x.dtype)) for x in inputs])
    with np.errstate(over="ignore"):
        return tuple(y.astype(np.float16) if half and y.dtype == np.float32 else y for y in results)


def is_exact(pair, char):
    return np.dtype(char).kind not in "fc" or not pair.ulps.get(char)


def assert_accurate(pair, char, actual, exact, extra, inputs):
    """|actual - exact| <= ulps * ulp(exact), or of the magnitude that the pair is measured by."""
    own = OWN_ULPS.get(pair.name, OWN_ULPS[None]) if char != "e" else 0
    ulps = pair.ulps[char] + extra + own
    if pair.magnitude is None:
        error = ulp_error(actual, exact, normwise=np.dtype(char).kind == "c")
        worst = int(np.argmax(error))
        assert error[worst] <= ulps, (
            f"{pair.name}: {error[worst]:.3g} ulps where {ulps:.3g} are documented, "
            f"at {tuple(x[worst] for x in inputs)}: {actual[worst]} for {exact[worst]}"
        )
    else:
        wide = [x.astype("D" if x.dtype.kind == "c" else "d") for x in inputs]
        assert_within(actual, exact, ulps * ulp(pair.magnitude(*wide), actual.dtype), dtype=actual.dtype)


def kind_of_number(x):
    """0 finite, 1 and 2 infinite (with its sign), 3 NaN; of complex numbers the infinite part decides."""
    if x.dtype.kind not in "fc":
        return np.zeros(x.shape, int)
    if x.dtype.kind == "c":
        infinite, nan = np.isinf(x.real) | np.isinf(x.imag), np.isnan(x.real) | np.isnan(x.imag)
        return np.where(infinite, 1, np.where(nan, 3, 0))
    return np.where(np.isinf(x), 1 + (x < 0), np.where(np.isnan(x), 3, 0))


def guided(pair, inputs):
    """The inputs of which the reference knows better than us."""
    for (name, kinds), (exception, _) in EDGE_EXCEPTIONS.items():
        if name == pair.name and inputs[0].dtype.kind in kinds:
            inputs = [x[~exception(*inputs)] for x in inputs]
    return inputs


def one_zero(pair, x):
    return x + 0 if pair.name in EITHER_ZERO and x.dtype.kind in "fc" else x


@every_loop
def test_random_numbers_of_the_domain_keep_to_the_documented_error(name, loop, rng):
    pair = REGISTRY[name]
    ins, outs = characters(loop)
    size = BY_MPMATH if computed_by_mpmath(pair, outs) else RANDOM
    inputs = [random_input(rng, pair, ins, k, size) for k in range(len(ins))]
    results = in_a_tuple(pair.function(*inputs))
    exact, extra = exact_values(pair, loop, inputs)
    same = reference(pair, inputs)
    for char, actual, wide, own in zip(outs, results, exact, same, strict=True):
        assert actual.shape == own.shape
        assert actual.dtype == np.dtype(char)
        if is_exact(pair, char):
            assert_equal_bits(actual, own.astype(char), nan_payload=False, function=pair.function, inputs=inputs)
        else:
            assert_accurate(pair, char, actual, wide, extra, inputs)


@every_loop
def test_edges_of_the_dtype_give_what_the_reference_gives(name, loop, rng):
    pair = REGISTRY[name]
    ins, outs = characters(loop)
    inputs = guided(pair, edge_inputs(rng, pair, ins))
    results = in_a_tuple(pair.function(*inputs))
    exactly, roughly = reference(pair, inputs), computed_in_single(pair, inputs)
    for char, actual, own, rounded in zip(outs, results, exactly, roughly, strict=True):
        assert actual.shape == own.shape
        assert actual.dtype == np.dtype(char)
        if is_exact(pair, char):
            actual, own = one_zero(pair, actual), one_zero(pair, own.astype(char))
            assert_equal_bits(actual, own, nan_payload=False, function=pair.function, inputs=inputs)
        else:
            differ = np.flatnonzero(kind_of_number(actual) != kind_of_number(rounded.astype(char)))
            assert not differ.size, "\n".join(
                f"{pair.name}{tuple(x[i] for x in inputs)} is {actual[i]}, not {rounded[i]}" for i in differ
            )
