/* MKL asks for the processor's vendor before it takes its fast kernels. Loaded before MKL (LD_PRELOAD), this answers for every vendor that
 * the processor is Intel's; which instructions there are, MKL still finds out by itself. Works for builds up to 2024.2, also for the one
 * inside torch; later ones do not ask through the dynamic linker. */
int mkl_serv_intel_cpu_true(void) { return 1; }
int mkl_serv_intel_cpu(void) { return 1; }
