"""Special functions, under SciPy's names."""

from scipy import special

from .public import from_ufunc

PROBABILITY = ((0.01, 0.99),)
POSITIVE = ((0.05, 20.0),)

erf = from_ufunc(special.erf, "Error function.", "y = 2 / sqrt(pi) int_0^x exp(-t^2) dt.", ulps=(2.5, 2.5))
erfc = from_ufunc(special.erfc, "Complementary error function.", "y = 1 - erf x.", ulps=(4.5, 5.5), domain=((-3, 8),))
erfcx = from_ufunc(
    special.erfcx,
    "Scaled complementary error function.",
    "y = exp(x^2) erfc x.",
    ulps=(4.5, 4.5),
    domain=((-3, 20),),
)
erfinv = from_ufunc(special.erfinv, "Inverse error function.", "erf y = x.", ulps=(2.5, 5.5), domain=((-0.99, 0.99),))
erfcinv = from_ufunc(
    special.erfcinv,
    "Inverse complementary error function.",
    "erfc y = x.",
    ulps=(4.5, 6.5),
    domain=((0.01, 1.99),),
)
gamma = from_ufunc(
    special.gamma,
    "Gamma function.",
    "y = int_0^inf t^(x-1) e^-t dt; NaN at negative integers.",
    ulps=(11.5, 10.5),
    domain=((0.1, 20),),
)
gammaln = from_ufunc(
    special.gammaln,
    "Logarithm of the absolute value of the gamma function.",
    "y = ln abs(gamma(x)).",
    ulps=(8.5, 8.5),
    domain=((3, 30),),
)
j0 = from_ufunc(
    special.j0, "Bessel function of the first kind, order 0.", "y = J0(x).", ulps=(16.5, 16.5), domain=((-2, 2),)
)
j1 = from_ufunc(
    special.j1, "Bessel function of the first kind, order 1.", "y = J1(x).", ulps=(16.5, 16.5), domain=((-2, 2),)
)
y0 = from_ufunc(
    special.y0, "Bessel function of the second kind, order 0.", "y = Y0(x).", ulps=(16.5, 16.5), domain=((1, 3),)
)
y1 = from_ufunc(
    special.y1,
    "Bessel function of the second kind, order 1.",
    "y = Y1(x).",
    ulps=(16.5, 16.5),
    domain=((0.1, 2),),
)
i0 = from_ufunc(special.i0, "Modified Bessel function, order 0.", "y = I0(x).", ulps=(8.5, 8.5))
i1 = from_ufunc(special.i1, "Modified Bessel function, order 1.", "y = I1(x).", ulps=(8.5, 8.5))


expit = from_ufunc(
    special.expit,
    "Logistic sigmoid.",
    "y = 1 / (1 + e^-x).",
    ulps=(8, 8),
    flops=3,
)
logit = from_ufunc(
    special.logit,
    "Inverse of the logistic sigmoid.",
    "y = ln(x / (1 - x)).",
    ulps=(8, 8),
    flops=3,
    domain=PROBABILITY,
)
log_expit = from_ufunc(
    special.log_expit,
    "Logarithm of the logistic sigmoid.",
    "y = -ln(1 + e^-x).",
    ulps=(8, 8),
    flops=3,
)
ndtr = from_ufunc(
    special.ndtr,
    "Normal distribution function.",
    "y = (1 + erf(x / sqrt 2)) / 2.",
    ulps=(8, 8),
    flops=3,
    domain=((-5, 5),),
)
log_ndtr = from_ufunc(
    special.log_ndtr,
    "Logarithm of the normal distribution function.",
    "y = ln ndtr(x).",
    ulps=(8, 8),
    flops=6,
)
ndtri = from_ufunc(
    special.ndtri,
    "Inverse of the normal distribution function.",
    "ndtr y = x.",
    ulps=(8, 8),
    flops=20,
    domain=PROBABILITY,
)
xlogy = from_ufunc(
    special.xlogy,
    "Product with a logarithm.",
    "y = x1 ln x2; 0 where x1 = 0.",
    ulps=(8, 8),
    flops=2,
    domain=POSITIVE * 2,
)
xlog1py = from_ufunc(
    special.xlog1py,
    "Product with a logarithm of one plus.",
    "y = x1 ln(1 + x2); 0 where x1 = 0.",
    ulps=(8, 8),
    flops=2,
    domain=POSITIVE * 2,
)
entr = from_ufunc(
    special.entr,
    "Entropy of one term.",
    "y = -x ln x; 0 at 0, -inf below.",
    ulps=(8, 8),
    flops=2,
    domain=PROBABILITY,
)
rel_entr = from_ufunc(
    special.rel_entr,
    "Relative entropy of one term.",
    "y = x1 ln(x1 / x2).",
    ulps=(8, 8),
    flops=3,
    domain=POSITIVE * 2,
)
kl_div = from_ufunc(
    special.kl_div,
    "Kullback-Leibler divergence of one term.",
    "y = x1 ln(x1 / x2) - x1 + x2.",
    # Below y = x/2 the terms cancel to 0.28 of the first, whose 3 ulps count 3.6 times.
    ulps=(12, 12),
    flops=5,
    domain=POSITIVE * 2,
)
digamma = from_ufunc(
    special.digamma,
    "Logarithmic derivative of the gamma function.",
    "y = gamma'(x) / gamma(x).",
    name="digamma",
    ulps=(8, 8),
    flops=30,
    domain=POSITIVE,
)
i0e = from_ufunc(
    special.i0e,
    "Scaled modified Bessel function, order 0.",
    "y = exp(-abs(x)) I0(x).",
    ulps=(8, 8),
    flops=30,
)
i1e = from_ufunc(
    special.i1e,
    "Scaled modified Bessel function, order 1.",
    "y = exp(-abs(x)) I1(x).",
    ulps=(8, 8),
    flops=30,
)
k0 = from_ufunc(
    special.k0,
    "Modified Bessel function of the second kind, order 0.",
    "y = K0(x).",
    ulps=(8, 8),
    flops=30,
    domain=POSITIVE,
)
k1 = from_ufunc(
    special.k1,
    "Modified Bessel function of the second kind, order 1.",
    "y = K1(x).",
    ulps=(8, 8),
    flops=30,
    domain=POSITIVE,
)
exprel = from_ufunc(
    special.exprel,
    "Relative exponential.",
    "y = (e^x - 1) / x; 1 at 0.",
    ulps=(8, 8),
    flops=3,
)
cosm1 = from_ufunc(
    special.cosm1,
    "Cosine less one.",
    "y = cos x - 1, accurate near x = 0.",
    ulps=(8, 8),
    flops=3,
    domain=((-3, 3),),
)
huber = from_ufunc(
    special.huber,
    "Huber's loss.",
    "x2^2 / 2 near 0, x1 (abs(x2) - x1 / 2) beyond x1.",
    ulps=(8, 8),
    flops=4,
    domain=((0.1, 5), (-10, 10)),
)
pseudo_huber = from_ufunc(
    special.pseudo_huber,
    "Smooth Huber loss.",
    "y = x1^2 ((1 + (x2 / x1)^2)^(1/2) - 1).",
    ulps=(8, 8),
    flops=7,
    domain=((0.1, 5), (-10, 10)),
)
boxcox = from_ufunc(
    special.boxcox,
    "Box-Cox transform.",
    "y = (x1^x2 - 1) / x2; ln x1 for x2 = 0.",
    ulps=(8, 8),
    flops=4,
    domain=(*POSITIVE, (-2, 2)),
)
inv_boxcox = from_ufunc(
    special.inv_boxcox,
    "Inverse Box-Cox transform.",
    "boxcox(y, x2) = x1.",
    ulps=(8, 8),
    flops=4,
    domain=((0.1, 5), (0.1, 2)),
)
boxcox1p = from_ufunc(
    special.boxcox1p,
    "Box-Cox transform of one plus.",
    "y = boxcox(1 + x1, x2).",
    ulps=(16, 16),
    flops=4,
    domain=(*POSITIVE, (-2, 2)),
)
inv_boxcox1p = from_ufunc(
    special.inv_boxcox1p,
    "Inverse Box-Cox transform of one plus.",
    "boxcox1p(y, x2) = x1.",
    ulps=(8, 8),
    flops=4,
    domain=((0.1, 5), (0.1, 2)),
)
beta = from_ufunc(
    special.beta,
    "Beta function.",
    "y = gamma(x1) gamma(x2) / gamma(x1 + x2) for x1, x2 > 0.",
    # Three gammas of 11 and 10 ulps, and the rounding of x1 + x2, which the last one amplifies by up to 22.
    ulps=(45, 42),
    flops=30,
    domain=((0.5, 5), (0.5, 5)),
)


def gammaln_magnitude(x1, x2):
    """What the error of a sum of logarithms of gammas is measured against: it is 0 where they cancel."""
    return 1 + abs(special.gammaln(x1)) + abs(special.gammaln(x2)) + abs(special.gammaln(x1 + x2))


betaln = from_ufunc(
    special.betaln,
    "Logarithm of the beta function.",
    "y = ln beta(x1, x2) for x1, x2 > 0.",
    ulps=(8, 8),
    flops=30,
    domain=((0.5, 5), (0.5, 5)),
    magnitude=gammaln_magnitude,
)
psi = digamma
