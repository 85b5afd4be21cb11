// Attention of wide tiles for sm_90a alone; compiled for another capability this file has no kernels.
#if !defined(__CUDACC__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#include "hopper.cuh"

HOPPER(64)
HOPPER(128)
HOPPER(256)
#endif
