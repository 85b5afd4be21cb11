// Attention for heads of up to 256 elements.
#include "attention.cuh"

ATTENTION(256)
