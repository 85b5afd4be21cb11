// Attention for heads of up to 128 elements.
#include "attention.cuh"

ATTENTION(128)
