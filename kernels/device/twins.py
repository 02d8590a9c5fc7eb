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
check = Word("check", "``check(pointer, nbytes, writes)``: check an access of so many bytes, aligned to as many.")
pointer = Word("pointer", "``pointer(address)``: the address of 64 bits of one in shared memory, of a cluster too.")
slots = Word("slots", "``slots(words)``: shared memory of int32, 64 places for each of a tuple of words.")
pause = Word("pause", "``pause()``: let other threads run, while this one waits for them.")
barrier_sync = Word("barrier_sync", "``barrier_sync(number, threads)``: arrive at a barrier and wait for the others.")
barrier_arrive = Word("barrier_arrive", "``barrier_arrive(number, threads)``: arrive at a barrier and go on.")

#: The three queues of copies that a thread has: of ``cp.async``, of bulk copies, of operands of ``wgmma``.
CP_ASYNC, BULK, WGMMA = range(3)

copy_later = Word(
    "copy_later",
    "``copy_later(queue, to, source, nbytes)``: a copy that lands when its group is waited for; from 0 it is zeros, to "
    "0 a read that lasts until then.",
)
commit = Word("commit", "``commit(queue)``: the copies issued since the last time are a group.")
wait = Word("wait", "``wait(queue, groups)``: land all copies but those of so many newest groups.")
copy_to_barrier = Word(
    "copy_to_barrier",
    "``copy_to_barrier(to, source, nbytes, mbarrier)``: a copy whose bytes an mbarrier counts when they land.",
)
mbarrier_init = Word("mbarrier_init", "``mbarrier_init(pointer, count)``: an mbarrier for so many arrivals a phase.")
mbarrier_arrive = Word("mbarrier_arrive", "``mbarrier_arrive(pointer, count)``: arrive; the parity of the phase.")
mbarrier_expect = Word("mbarrier_expect", "``mbarrier_expect(pointer, nbytes)``: so many bytes more in this phase.")
mbarrier_test = Word("mbarrier_test", "``mbarrier_test(pointer, parity)``: whether that phase is complete.")
refuse = Word("refuse", "``refuse(fault)``: report one of those that hardware stops the kernel over.")

#: Boxes of tensor copies that an H100 does not take.
BETWEEN_PIECES, BEFORE_THE_ARRAY = range(2)

cluster_dims = Word("cluster_dims", "``cluster_dims(x, y, z)``: the blocks of the grid are in clusters of this shape.")
cluster_rank = Word("cluster_rank", "``cluster_rank()``: of the thread's block in its cluster.")
cluster_arrive = Word("cluster_arrive", "``cluster_arrive()``: arrive at the barrier of the cluster.")
cluster_test = Word("cluster_test", "``cluster_test()``: whether all threads of the cluster have arrived as often.")
