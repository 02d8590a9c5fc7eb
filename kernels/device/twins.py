"""Words for twins of instructions, which the simulator runs in the place of what hardware alone has.

The twin of an instruction is a device function in the language of kernels: each thread that comes to the instruction
runs it. Where the lanes of a warp compute together, it is (or calls) a `collective` function, which is run once for
them all. The names below it are what a twin can do that no kernel can; they mean something inside of twins only, in
both engines of the simulator, and none of them is ever compiled for a GPU.
"""


class Collective:
    """A function that is run once for all lanes of a warp.

    Parameters
    ----------
    function : function
        Of arrays of two axes, the lanes and the parts of a tuple: the result's, to be filled, then the operands'. It
        has loops and arithmetic, and reads no memory of the kernel.
    signature : numba.core.typing.Signature
        Result and operands of one lane: numbers and tuples of equal numbers.
    """

    def __init__(self, function, signature):
        self.function, self.signature = function, signature
        self.__name__, self.__doc__ = function.__name__, function.__doc__
        self.__simulated__ = self

    def __call__(self, *operands):
        """Refuse."""
        raise TypeError(f"{self.__name__} is for kernels: all lanes of a warp call it together")


def collective(signature):
    """Declare a function that is run once for all lanes of a warp; see `Collective`."""
    return lambda function: Collective(function, signature)


class Word:
    """A name that the simulator gives its meaning."""

    def __init__(self, name, doc):
        self.__simulated__ = self.__name__ = name
        self.__doc__ = doc

    def __call__(self, *operands):
        """Refuse."""
        raise TypeError(f"{self.__name__} is for twins of instructions, which the simulator runs")


load = Word("load", "``load(dtype, pointer)``: what lies at an address of 64 bits; a checked access.")
store = Word("store", "``store(pointer, value)``: put a value at an address of 64 bits; a checked access.")
pointer = Word("pointer", "``pointer(address)``: the address of 64 bits of one in shared memory, of a cluster too.")
pause = Word("pause", "``pause()``: let other threads run, while this one waits for them.")
barrier_sync = Word("barrier_sync", "``barrier_sync(number, threads)``: arrive at a barrier and wait for the others.")
barrier_arrive = Word("barrier_arrive", "``barrier_arrive(number, threads)``: arrive at a barrier and go on.")
transfer = Word(
    "transfer",
    "``transfer(op, a, b, c, d)``: copies that land later, mbarriers and clusters, by the operations of `Transfer`.",
)
