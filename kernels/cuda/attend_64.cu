// Attention for heads of up to 64 elements.
#include "attention.cuh"

ATTENTION(64)
