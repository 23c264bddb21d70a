"""How kernels are compiled: without Python's lock, so that threads share an event, nor its checks."""

from numba import njit

# No error for a division by zero, and sums in any order; infinities and NaN keep their meaning.
kernel = njit(nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp", "afn"})
