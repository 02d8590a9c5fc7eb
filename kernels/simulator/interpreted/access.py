"""The check of an access to memory for callers in Python, where each argument of a routine costs 100 ns."""

from numba import types

from .. import shadow
from ..jit import c_function
from ..memory import words

#: Words of a request: of the thread's row, the address; of the array, that of its table; the kind of access, the place
#: in the kernel, how many parts the index has, and these.
THREAD, TABLE, KIND, SITE, PARTS, PART = range(6)
MOST_PARTS = 3

#: Words of an array's table: where it begins, bytes of an element, dimensions; of each, the extent and the stride. Then
#: for each kind of access what `shadow.access` takes as one.
BEGIN, BYTES, DIMENSIONS, EXTENT = range(4)
STRIDE = EXTENT + MOST_PARTS
KINDS = STRIDE + MOST_PARTS

#: What `access_at` returns for an index that is no element of the array.
NO_ELEMENT = -1


@c_function(types.int64(types.int64))
def access_at(request):
    """Check an access to the element of an index.

    Parameters
    ----------
    request : int
        Its address.

    Returns
    -------
    fault : int
        That of `shadow.access`, or `NO_ELEMENT`.
    """
    asked = words(request, PART + MOST_PARTS)
    array = words(asked[TABLE], KINDS + 5)
    if asked[PARTS] != array[DIMENSIONS]:
        return NO_ELEMENT
    address = array[BEGIN]
    for axis in range(array[DIMENSIONS]):
        place = asked[PART + axis]
        if not 0 <= place < array[EXTENT + axis]:
            return NO_ELEMENT
        address += place * array[STRIDE + axis]
    return shadow.accessed(asked[THREAD], address, array[BYTES], array[KINDS + asked[KIND]], asked[SITE])
