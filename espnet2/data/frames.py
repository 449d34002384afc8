"""The grid on which audio becomes frames: 25 ms windows every 20 ms at 16 kHz.

The numbers are those of the convolutional front end (kernels 10,3,3,3,3,2,2 and strides
5,2,2,2,2,2,2): frame ``t`` sees samples ``[320 t, 320 t + 400)``. Labels, crops and bucket
lengths all live on this grid, so cutting audio at a multiple of 320 samples cuts labels exactly.
"""

from typing import TypeVar

import numpy as np

SAMPLE_RATE_HZ = 16_000
HOP_SAMPLES = 5 * 2**6  # product of the strides: 320 samples, 20 ms
RECEPTIVE_SAMPLES = 400  # samples seen by one frame: 25 ms
Count = TypeVar("Count", int, np.ndarray)


def num_frames(num_samples: Count) -> Count:
    """Frames of ``num_samples`` samples, without padding; 0 below one receptive field.

    Takes an int and returns an int, or takes an integer array and returns one of its shape.
    """
    if isinstance(num_samples, np.ndarray):
        return np.maximum((num_samples - RECEPTIVE_SAMPLES) // HOP_SAMPLES + 1, 0)
    return max((int(num_samples) - RECEPTIVE_SAMPLES) // HOP_SAMPLES + 1, 0)
