"""The check of an access to memory for callers in Python, where each argument of a routine costs 100 ns."""

from numba import types

from .. import shadow
from ..jit import c_function, jit
from ..memory import words

_access = jit(shadow.access.function)


@c_function(types.int64(types.int64))
def access_at(request):
    """`shadow.access` with its arguments in memory.

    Parameters
    ----------
    request : int
        Address of four words: address of the thread's row; address of what is accessed; how many bytes of it, times
        2**32, and the kind of access; place in the kernel.
    """
    asked = words(request, 4)
    return _access(asked[0], asked[1], asked[2] >> 32, asked[2] & 0xFFFFFFFF, asked[3])
