"""What the words of `kernels.device.twins` mean in an interpreted kernel."""

import functools

import numpy as np
from numba import njit, types

from .. import memory, transfers
from .. import state as S
from . import numbers
from .arrays import dtype_of, of


@functools.cache
def _compiled(function):
    """The machine code that the compiled engine runs too, for equal bits."""
    return njit(error_model="numpy")(function)


class Mail:
    """The memory through which the lanes of warps give one another operands, of one signature.

    Parameters
    ----------
    rows : numpy.ndarray of uint8
        `state.MAIL_BYTES` for each thread.
    signature : numba.core.typing.Signature
    """

    def __init__(self, rows, signature):
        self._tupled = isinstance(signature.return_type, types.BaseTuple)
        self._views = [
            rows[:, at : at + count * dtype.itemsize].view(dtype) for at, dtype, count in memory.mail(signature)
        ]

    def put(self, fibre, operands):
        """Lay a thread's operands down."""
        for view, value in zip(self._views[1:], operands, strict=True):
            parts = value if isinstance(value, tuple) else (value,)
            view[fibre] = [numbers.raw(numbers.cast(view.dtype, part)) for part in parts]

    def lanes(self, fibre):
        """Results and operands of a thread's warp."""
        first = fibre & -S.LANES
        return [view[first : first + S.LANES] for view in self._views]

    def take(self, fibre):
        """A thread's result."""
        found = tuple(map(numbers.typed, self._views[0][fibre]))
        return found if self._tupled else found[0]


class Words:
    """The words, of one machine."""

    def __init__(self, machine):
        self._machine = machine
        self.__dict__.update({name: self._transfer(op, count) for name, (op, count) in transfers.OPERATIONS.items()})

    def _fibre(self):
        return (self._machine.thread.at - self._machine._address) // (8 * S.THREAD_WORDS)

    def collective(self, twin):
        """A function of kernels that all lanes of a warp call, and one of them computes for all."""
        machine = self._machine
        mail, run = Mail(machine.mail, twin.signature), _compiled(twin.function)

        def call(*operands):
            fibre = self._fibre()
            mail.put(fibre, operands)
            machine.hand_over(S.AT_WARP, S.COLLECTIVE, S.FULL, site=machine.site())
            warp = machine.warps[fibre >> 5]
            if not warp[S.COMPUTED]:
                warp[S.COMPUTED] = 1
                run(*mail.lanes(fibre))
            return mail.take(fibre)

        return call

    # --- memory of a block ----------------------------------------------------------------------------------

    def slots(self, words):
        machine, count = self._machine, S.PLACES * len(words)
        # One place in a device function is of as many arrays as there are sizes.
        return machine.shared_array(machine.place() + (count << 32), (count,), np.dtype(np.int32))

    # --- addresses ------------------------------------------------------------------------------------------

    def shared_address(self, array):
        offset = array.raw.__array_interface__["data"][0] - int(self._machine.thread.row[S.SHARED])
        return numbers.cast(np.dtype(np.uint32), offset)

    def global_address(self, array):
        raw = getattr(array, "raw", array)  # an argument of a kernel of NumPy scalars is as it was given
        return np.uint64(raw.__array_interface__["data"][0])

    def _memory(self, pointer, dtype):
        return of(memory.view(int(pointer), (1,), dtype), "memory", self._machine.watch)

    def load(self, dtype, pointer):
        return self._memory(pointer, dtype_of(dtype))[0]

    def store(self, pointer, value):
        self._memory(pointer, np.asarray(numbers.raw(value)).dtype)[0] = value

    def _transfer(self, op, count):
        machine, run = self._machine, transfers.transfer.ctypes

        def call(*operands):
            given = [*map(int, operands), *[0] * (4 - count)]
            found = run(self._machine.thread.at, op, *given)
            if found < 0:
                machine.worker[S.ERROR_SITE] = machine.site()
                machine.hand_over(S.RAISED)
            return np.int64(found)

        return call

    # --- waiting, and what changes no memory of the kernel's ------------------------------------------------

    def pause(self):
        self._machine.hand_over(S.AT_POINT)

    def barrier_sync(self, number, threads):
        machine = self._machine
        machine.hand_over(S.AT_BLOCK, mask=int(threads), argument=int(number), site=machine.site())

    def barrier_arrive(self, number, threads):
        machine = self._machine
        machine.hand_over(S.ARRIVES, mask=int(threads), argument=int(number), site=machine.site())
