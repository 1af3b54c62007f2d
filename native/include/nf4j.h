/*
 * nf4j: NF4 matrix products and fused LoRA for the JVM and for anything else that speaks C.
 *
 * One header, C11, no CUDA types. Conventions:
 *
 * - Every function returns an nf4j_status (as int32_t); nf4j_last_error() has the sentence that belongs to the last failure of
 *   the calling thread. Nothing is written when an argument is refused; after any other failure an operation's outputs are
 *   undefined, and nothing else has changed.
 * - The caller owns all memory. Operations allocate nothing; scratch memory belongs to the stream.
 * - Operations take the stream first and outputs last. On host backends they have finished when they return; on a GPU they
 *   are queued: they can be captured into a graph (nf4j_graph_begin).
 * - Matrices are row-major with an explicit leading dimension. Weights are [out, in] as in Hugging Face checkpoints, LoRA
 *   factors A [rank, in] and B [out, rank]. Data must be aligned to its element; 64-byte aligned data is faster.
 * - Option structs begin with their size, and may grow: what a caller's older header lacks is 0.
 * - F32 and BF16 go in and out of every operation; sums are kept in F32 or better. Within one operation all activations have
 *   one type. Results do not depend on the number of threads, nor a row's result on the rows beside it.
 * - Inputs and outputs must not overlap, except where a function says that it works in place.
 */
#ifndef NF4J_H
#define NF4J_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(NF4J_BUILD)
#define NF4J_API __attribute__((visibility("default")))
#else
#define NF4J_API
#endif

/* Increased with every incompatible change of this header. */
#define NF4J_ABI_VERSION 1

enum nf4j_status {
    NF4J_OK = 0,
    NF4J_INVALID_ARGUMENT = 1,    /* the text names the argument, its value and what was expected */
    NF4J_OUT_OF_MEMORY = 2,       /* host or device memory, or the stream's workspace */
    NF4J_UNSUPPORTED = 3,         /* valid, but this backend does not do it; the text says why */
    NF4J_BACKEND_UNAVAILABLE = 4, /* the backend's library or device is missing; the text lists what was tried */
    NF4J_DEVICE_LOST = 5,         /* sticky: this device refuses every later call, but for freeing and closing */
    NF4J_INTERNAL = 6
};

/* Codes as in DLPack: type code in the high byte, bits in the low one. */
enum nf4j_dtype {
    NF4J_F32 = 0x0220,
    NF4J_F16 = 0x0210,
    NF4J_BF16 = 0x0410,
    NF4J_I32 = 0x0020,
    NF4J_I64 = 0x0040,
    NF4J_U8 = 0x0108
};

enum nf4j_backend {
    NF4J_BACKEND_AUTO = 0, /* cuda where there is a device, else cpu */
    NF4J_BACKEND_REFERENCE = 1,
    NF4J_BACKEND_CPU = 2,
    NF4J_BACKEND_CUDA = 3,
    NF4J_BACKEND_SIMT = 4
};

/* Instruction sets of the cpu backend. */
enum nf4j_isa {
    NF4J_ISA_AUTO = 0, /* the best that this machine has */
    NF4J_ISA_GENERIC = 1,
    NF4J_ISA_AVX2 = 2,        /* with FMA and F16C */
    NF4J_ISA_AVX512 = 3,      /* F, BW, DQ, VL */
    NF4J_ISA_AVX512_BF16 = 4, /* the same with VDPBF16PS for BF16 products */
    NF4J_ISA_NEON = 5,
    NF4J_ISA_AMX_BF16 = 6 /* AVX512_BF16 with AMX tiles: TDPBF16PS for BF16 products */
};

enum nf4j_operation {
    NF4J_OP_NF4_QUANTIZE = 1,
    NF4J_OP_NF4_DEQUANTIZE = 2,
    NF4J_OP_NF4_MATMUL = 3,
    NF4J_OP_NF4_MATMUL_BACKWARD = 4,
    NF4J_OP_LORA_FORWARD = 5,
    NF4J_OP_LORA_BACKWARD = 6,
    NF4J_OP_DENSE_MATMUL = 7,
    NF4J_OP_NORM = 8,
    NF4J_OP_ROPE = 9,
    NF4J_OP_ATTENTION = 10,
    NF4J_OP_MLP = 11,
    NF4J_OP_EMBEDDING = 12,
    NF4J_OP_LOSS = 13,
    NF4J_OP_OPTIM = 14,
    NF4J_OP_MEMORY = 15
};

typedef struct nf4j_device nf4j_device;
typedef struct nf4j_stream nf4j_stream;
typedef struct nf4j_graph nf4j_graph;

/* A row-major matrix that the caller owns: element (i, j) stands at data[i * ld + j]. A vector has one row. */
typedef struct nf4j_tensor {
    void *data;
    int64_t rows;
    int64_t cols;
    int64_t ld;       /* elements between rows, >= cols */
    int32_t dtype;    /* nf4j_dtype */
    int32_t reserved; /* 0 */
} nf4j_tensor;

/* ---- library ------------------------------------------------------------------------------------------------------- */

/* The text of the calling thread's last failure; never null, valid until the thread's next failing call. */
NF4J_API const char *nf4j_last_error(void);
/* NF4J_ABI_VERSION of the library, and its version as "major.minor.patch". */
NF4J_API int32_t nf4j_abi_version(void);
NF4J_API const char *nf4j_version(void);
/* One line per struct field, "struct.field offset size", and per struct, "struct size": what bindings compare themselves with. */
NF4J_API const char *nf4j_abi_layout(void);

/* ---- devices and streams --------------------------------------------------------------------------------------------- */

typedef struct nf4j_device_options {
    uint32_t struct_size; /* sizeof(nf4j_device_options) */
    int32_t backend;      /* nf4j_backend */
    int32_t ordinal; /* which GPU; simt models two: 0 has compute capability 8.0, 1 has 9.0; 0 on other host backends */
    int32_t threads; /* host backends: 0 = the cores that this process may use, cgroup limits included */
    int32_t isa;     /* nf4j_isa, cpu backend */
    int32_t reserved; /* 0 */
} nf4j_device_options;

typedef struct nf4j_device_info {
    uint32_t struct_size; /* in: sizeof(nf4j_device_info) */
    int32_t backend;
    int32_t ordinal;
    int32_t threads;
    int32_t isa;
    int32_t host_accessible; /* 1: device memory is ordinary memory */
    int64_t total_memory;    /* bytes that this process may use */
    int64_t free_memory;
    char name[64];
} nf4j_device_info;

/* Opens a device. Each open returns an object of its own, with its own threads. */
NF4J_API int32_t nf4j_device_open(const nf4j_device_options *options, nf4j_device **device);
/* Closes it; its streams must have been destroyed. Null is allowed. */
NF4J_API int32_t nf4j_device_close(nf4j_device *device);
NF4J_API int32_t nf4j_device_get_info(const nf4j_device *device, nf4j_device_info *info);
/* Why `backend` can or cannot be opened here, and for cpu each ISA variant, one line each, into text[capacity] (terminated, cut). */
NF4J_API int32_t nf4j_backend_probe(int32_t backend, char *text, int64_t capacity);

typedef struct nf4j_stream_options {
    uint32_t struct_size;
    uint32_t reserved;
    void *native_stream;     /* a CUstream to wrap, or null for an own stream; null on host backends */
    int64_t workspace_bytes; /* scratch memory of operations; 0 = the backend's default (64 MiB) */
} nf4j_stream_options;

/* options may be null. */
NF4J_API int32_t nf4j_stream_create(nf4j_device *device, const nf4j_stream_options *options, nf4j_stream **stream);
NF4J_API int32_t nf4j_stream_destroy(nf4j_stream *stream);
NF4J_API int32_t nf4j_stream_synchronize(nf4j_stream *stream);

/* Writes which kernel variant a call of `operation` with shape m, n, k (tokens, out, in; 0 where meaningless) would take, with
 * tile, workspace and reason, into text[capacity]. NF4J_OP_LORA_FORWARD is for its two steps, too. */
NF4J_API int32_t nf4j_explain(nf4j_stream *stream, int32_t operation, int64_t m, int64_t n, int64_t k, int32_t dtype,
                              char *text, int64_t capacity);

/* ---- graphs ---------------------------------------------------------------------------------------------------------- */

/* A graph is a stretch of calls on one stream, captured once and then launched by one call as often as wanted: a CUDA graph, which
 * simt plays. reference and cpu have none (NF4J_UNSUPPORTED): their calls are over when they return.
 *
 * While a stream is captured, calls on it check their arguments and are written down instead of run. A launch runs them with the same
 * addresses, shapes and numbers. What may change between launches is in device memory: the contents of matrices,
 * *nf4j_lora.device_seed and *nf4j_adamw_options.device_step. Memory that the calls were given must stay until the graph is
 * destroyed, the host memory of copies included; arrays that are only read during a call need not. Data is not looked at while
 * capturing, so that no launch refuses an id outside its table: its row is NaN, on simt too.
 *
 * A capture refuses, and goes on (NF4J_UNSUPPORTED): waiting for the stream, allocating on its device, launching a graph of the stream,
 * nf4j_nf4_import and nf4j_nf4_export. A call that fails on its way leaves no graph: nf4j_graph_end gives its status. In any case
 * nf4j_graph_end leaves the stream as it was before nf4j_graph_begin. */

/* Begins to capture the stream. Run the same calls once before: kernels are loaded when they are first used. */
NF4J_API int32_t nf4j_graph_begin(nf4j_stream *stream);
/* Ends it. *graph is only written where a graph has come of it. */
NF4J_API int32_t nf4j_graph_end(nf4j_stream *stream, nf4j_graph **graph);
/* Queues the graph's calls on the stream that they were captured on. */
NF4J_API int32_t nf4j_graph_launch(nf4j_graph *graph);
/* Launches that are queued still run. A stream's graphs must be destroyed before the stream. Null is allowed. */
NF4J_API int32_t nf4j_graph_destroy(nf4j_graph *graph);

/* ---- memory ---------------------------------------------------------------------------------------------------------- */

/* Device memory, 64-byte aligned, contents undefined. bytes = 0 gives null. */
NF4J_API int32_t nf4j_memory_alloc(nf4j_device *device, int64_t bytes, void **data);
/* The same, but on a GPU it may be larger than the GPU's memory: managed memory, whose pages come when they are used, or pinned
 * memory of the host where a GPU cannot do that. For what is used once a step, such as an optimizer's states. */
NF4J_API int32_t nf4j_memory_alloc_paged(nf4j_device *device, int64_t bytes, void **data);
/* Of either kind. */
NF4J_API int32_t nf4j_memory_free(nf4j_device *device, void *data);
/* Queues that the pages of paged memory come to the GPU. Nothing to do for other memory, and while the stream is captured. */
NF4J_API int32_t nf4j_memory_prefetch(nf4j_stream *stream, const void *data, int64_t bytes);
/* dst = src, same shape and type; any type. Either may be host memory (the GPU backends tell by the address). */
NF4J_API int32_t nf4j_memory_copy(nf4j_stream *stream, const nf4j_tensor *src, const nf4j_tensor *dst);
/* Every element of dst becomes value, rounded to its type. */
NF4J_API int32_t nf4j_memory_fill(nf4j_stream *stream, double value, const nf4j_tensor *dst);
/* dst = src converted between F32, F16 and BF16, round to nearest even. */
NF4J_API int32_t nf4j_memory_cast(nf4j_stream *stream, const nf4j_tensor *src, const nf4j_tensor *dst);
/* y = a + b; y may be a or b. F32, BF16. */
NF4J_API int32_t nf4j_memory_add(nf4j_stream *stream, const nf4j_tensor *a, const nf4j_tensor *b, const nf4j_tensor *y);

/* ---- nf4 ------------------------------------------------------------------------------------------------------------- */

/* A quantized weight matrix [rows = out, cols = in] in the layout of one backend, in one piece of device memory. Blocks of
 * block_size elements run over the flattened matrix, so they may straddle rows. */
typedef struct nf4j_nf4_weight {
    uint32_t struct_size;
    int32_t double_quant; /* 1: absmax is kept in 8 bits, in blocks of 256 */
    int64_t rows;
    int64_t cols;
    int64_t block_size; /* 32, 64, ..., 4096 */
    void *data;         /* 64-byte aligned */
    int64_t bytes;      /* >= nf4j_nf4_weight_bytes() */
} nf4j_nf4_weight;

/* The same matrix as bitsandbytes stores it. Element 2i is the high nibble of codes[i], element 2i + 1 the low one.
 * Plain: w = quant_map[code] * absmax[i / block_size]. Double quantization: absmax is
 * nested_map[absmax8[b]] * nested_absmax[b / 256] + nested_offset. */
typedef struct nf4j_nf4_state {
    uint32_t struct_size;
    float nested_offset;
    int64_t rows;
    int64_t cols;
    int64_t block_size;
    uint8_t *codes;       /* [(rows * cols + 1) / 2] */
    float *absmax;        /* [blocks], plain; else null */
    uint8_t *absmax8;     /* [blocks], double quantization; else null */
    float *quant_map;     /* [16] */
    float *nested_absmax; /* [(blocks + 255) / 256] or null */
    float *nested_map;    /* [256] or null */
} nf4j_nf4_state;

/* Bytes of data that a weight of this shape needs on the device. */
NF4J_API int32_t nf4j_nf4_weight_bytes(const nf4j_device *device, int64_t rows, int64_t cols, int64_t block_size,
                                       int32_t double_quant, int64_t *bytes);
/* Quantizes w (F32, F16, BF16; contiguous rows [rows, cols]) as bitsandbytes does. NaN or infinity is refused. */
NF4J_API int32_t nf4j_nf4_quantize(nf4j_stream *stream, const nf4j_tensor *w, const nf4j_nf4_weight *weight);
/* out [count, cols] = rows first_row ... of the weight, as F32, F16 or BF16: quant_map[code] * absmax in F32, then rounded to the
 * type, as bitsandbytes does. */
NF4J_API int32_t nf4j_nf4_dequantize(nf4j_stream *stream, const nf4j_nf4_weight *weight, int64_t first_row,
                                     const nf4j_tensor *out);
/* Between the backend's layout and bitsandbytes', in host memory, without loss. Import takes any quant_map and nested_map;
 * export fills the arrays, whose sizes are given by the shape, and sets nested_offset. */
NF4J_API int32_t nf4j_nf4_import(nf4j_stream *stream, const nf4j_nf4_state *state, const nf4j_nf4_weight *weight);
NF4J_API int32_t nf4j_nf4_export(nf4j_stream *stream, const nf4j_nf4_weight *weight, nf4j_nf4_state *state);
/* y [m, out] = x [m, in] * W^T + bias; bias [1, out] F32 or of x's type, or null. W is rounded to x's type first. */
NF4J_API int32_t nf4j_nf4_matmul(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_nf4_weight *weight,
                                 const nf4j_tensor *bias, const nf4j_tensor *y);
/* dx [m, in] = dy [m, out] * W. */
NF4J_API int32_t nf4j_nf4_matmul_backward(nf4j_stream *stream, const nf4j_tensor *dy, const nf4j_nf4_weight *weight,
                                          const nf4j_tensor *dx);

/* ---- dense ----------------------------------------------------------------------------------------------------------- */

typedef struct nf4j_matmul_options {
    uint32_t struct_size;
    int32_t transpose_a; /* 1: a is stored [k, m] */
    int32_t transpose_b; /* 1: b is stored [n, k], as weights are */
    float alpha;
    float beta; /* 0: c is not read */
    uint32_t reserved;
} nf4j_matmul_options;

/* c [m, n] = alpha * op(a) [m, k] * op(b) [k, n] + beta * c + bias. a and c F32 or BF16 each, b of any of both; bias [1, n] or null.
 * With a in BF16, b is rounded to BF16. */
NF4J_API int32_t nf4j_dense_matmul(nf4j_stream *stream, const nf4j_matmul_options *options, const nf4j_tensor *a,
                                   const nf4j_tensor *b, const nf4j_tensor *bias, const nf4j_tensor *c);

/* ---- lora ------------------------------------------------------------------------------------------------------------ */

/* A frozen linear layer: exactly one of dense and nf4 is given. */
typedef struct nf4j_linear {
    uint32_t struct_size;
    uint32_t reserved;
    const nf4j_tensor *dense;   /* [out, in] F32 or BF16 */
    const nf4j_nf4_weight *nf4; /* [out, in] */
    const nf4j_tensor *bias;    /* [1, out] or null */
} nf4j_linear;

/* scale s = alpha / rank, or alpha / sqrt(rank) when rank_stabilized. With dropout p > 0 the adapter sees drop(x) = x * keep / (1 - p),
 * keep(i, j) from Philox4x32-10 with key = seed and counter (j / 4, i) in 64-bit halves, word j % 4, kept when word >= p * 2^32:
 * the same in forward, backward and recomputation. The base sees x. */
typedef struct nf4j_lora {
    uint32_t struct_size;
    int32_t rank_stabilized;
    float alpha;
    float dropout; /* 0 <= p < 1 */
    uint64_t seed;
    const nf4j_tensor *a;        /* [rank, in] F32 or BF16 */
    const nf4j_tensor *b;        /* [out, rank] */
    const uint64_t *device_seed; /* in device memory, read by the operation instead of seed; null: seed counts */
} nf4j_lora;

/* u [m, rank] F32 = drop(x) * A^T, kept for backward; y [m, out] = x * W^T + bias + s * u * B^T in one accumulator. */
NF4J_API int32_t nf4j_lora_forward(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_linear *base,
                                   const nf4j_lora *lora, const nf4j_tensor *u, const nf4j_tensor *y);
/* The same in two steps, to the same bits, for adapters that share x, such as those of q, k and v: first what all of them take from x, in
 * one pass over it. us[i] [m, rank] F32 = drop(x) * A^T of *loras[i], of which a, dropout and seed are read; count >= 1. */
NF4J_API int32_t nf4j_lora_project(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_lora *const *loras,
                                   int64_t count, const nf4j_tensor *const *us);
/* Then, for each, y [m, out] = x * W^T + bias + s * u * B^T, with u as nf4j_lora_project has left it. Of lora, b, alpha and
 * rank_stabilized are read. */
NF4J_API int32_t nf4j_lora_apply(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_linear *base,
                                 const nf4j_lora *lora, const nf4j_tensor *u, const nf4j_tensor *y);
/* du = s * dy * B (in the workspace); da [rank, in] and db [out, rank], F32, += du^T * drop(x) and s * dy^T * u;
 * dx [m, in] = dy * W + drop'(du * A), or null where no gradient is needed. accumulate_dx: dx is added to. */
NF4J_API int32_t nf4j_lora_backward(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_tensor *dy,
                                    const nf4j_tensor *u, const nf4j_linear *base, const nf4j_lora *lora,
                                    int32_t accumulate_dx, const nf4j_tensor *da, const nf4j_tensor *db,
                                    const nf4j_tensor *dx);

/* ---- norm ------------------------------------------------------------------------------------------------------------ */

/* RMSNorm: rstd [1, m] F32 = 1 / sqrt(mean(x^2) + eps); y = x * rstd * weight. weight [1, n] F32 or of x's type. */
NF4J_API int32_t nf4j_norm_forward(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_tensor *weight, float eps,
                                   const nf4j_tensor *rstd, const nf4j_tensor *y);
/* dx = rstd * (g - xh * mean(g * xh)), g = dy * weight, xh = x * rstd; dweight [1, n] F32 += sum(dy * xh), or null.
 * accumulate_dx: dx is added to. dx may be dy when not accumulating. */
NF4J_API int32_t nf4j_norm_backward(nf4j_stream *stream, const nf4j_tensor *dy, const nf4j_tensor *x,
                                    const nf4j_tensor *weight, const nf4j_tensor *rstd, int32_t accumulate_dx,
                                    const nf4j_tensor *dweight, const nf4j_tensor *dx);

/* ---- rope ------------------------------------------------------------------------------------------------------------ */

/* table [m, head_dim] F32: scale * cos(p * f_j) for j < head_dim / 2, then scale * sin(p * f_j); positions [1, m] I32,
 * inv_freq [1, head_dim / 2] F32. p * f_j in F32, as transformers computes it. */
NF4J_API int32_t nf4j_rope_table(nf4j_stream *stream, const nf4j_tensor *positions, const nf4j_tensor *inv_freq,
                                 float scale, const nf4j_tensor *table);
/* Rotates halves, per head of head_dim = table->cols columns: y1 = x1 * cos - x2 * sin, y2 = x2 * cos + x1 * sin. y may be x. */
NF4J_API int32_t nf4j_rope_forward(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_tensor *table,
                                   const nf4j_tensor *y);
/* The transpose: rotation by the negative angle. dx may be dy. */
NF4J_API int32_t nf4j_rope_backward(nf4j_stream *stream, const nf4j_tensor *dy, const nf4j_tensor *table,
                                    const nf4j_tensor *dx);

/* ---- attention ------------------------------------------------------------------------------------------------------- */

/* Causal softmax attention over packed sequences. Sequence s has the queries q_offsets[s] ... q_offsets[s + 1] - 1 (rows of q) and the
 * keys kv_offsets[s] ... + kv_lengths[s] - 1 (rows of k and v); its last query sees its last key. Query head h uses key-value
 * head h / (heads / kv_heads). The arrays are in host memory, whatever the backend, and only read during the call. */
typedef struct nf4j_attention_options {
    uint32_t struct_size;
    int32_t heads;
    int32_t kv_heads;
    int32_t head_dim;
    float scale;    /* of q . k before softmax, 1 / sqrt(head_dim) as a rule */
    int32_t window; /* a query sees itself and the window - 1 keys before; 0 = no window */
    int64_t sequences;
    const int32_t *q_offsets;  /* [sequences + 1], from 0 to the rows of q, ascending */
    const int32_t *kv_offsets; /* [sequences], or null: the same rows as q */
    const int32_t *kv_lengths; /* [sequences], or null: the same lengths as q; >= the sequence's number of queries */
} nf4j_attention_options;

/* q [m, heads * head_dim], k and v [mk, kv_heads * head_dim], out as q, lse [m, heads] F32 = log-sum-exp of the scores. */
NF4J_API int32_t nf4j_attention_forward(nf4j_stream *stream, const nf4j_attention_options *options,
                                        const nf4j_tensor *q, const nf4j_tensor *k, const nf4j_tensor *v,
                                        const nf4j_tensor *lse, const nf4j_tensor *out);
/* dq, dk, dv are overwritten; kv_offsets and kv_lengths must be null. */
NF4J_API int32_t nf4j_attention_backward(nf4j_stream *stream, const nf4j_attention_options *options,
                                         const nf4j_tensor *q, const nf4j_tensor *k, const nf4j_tensor *v,
                                         const nf4j_tensor *lse, const nf4j_tensor *out, const nf4j_tensor *dout,
                                         const nf4j_tensor *dq, const nf4j_tensor *dk, const nf4j_tensor *dv);

/* ---- mlp ------------------------------------------------------------------------------------------------------------- */

/* h = silu(gate) * up, silu(g) = g / (1 + exp(-g)). h may be gate or up. */
NF4J_API int32_t nf4j_mlp_swiglu_forward(nf4j_stream *stream, const nf4j_tensor *gate, const nf4j_tensor *up,
                                         const nf4j_tensor *h);
/* dgate = dh * up * sig(gate) * (1 + gate * (1 - sig(gate))), dup = dh * silu(gate). In place: dgate may be gate, dup may be up. */
NF4J_API int32_t nf4j_mlp_swiglu_backward(nf4j_stream *stream, const nf4j_tensor *dh, const nf4j_tensor *gate,
                                          const nf4j_tensor *up, const nf4j_tensor *dgate, const nf4j_tensor *dup);

/* ---- embedding ------------------------------------------------------------------------------------------------------- */

/* y [m, n] = table [vocabulary, n] at ids [1, m] I32. An id outside the table is refused on host backends; on a GPU its row is NaN. */
NF4J_API int32_t nf4j_embedding_forward(nf4j_stream *stream, const nf4j_tensor *ids, const nf4j_tensor *table,
                                        const nf4j_tensor *y);
/* dtable [vocabulary, n] F32 += dy rows, in the order of the tokens. */
NF4J_API int32_t nf4j_embedding_backward(nf4j_stream *stream, const nf4j_tensor *ids, const nf4j_tensor *dy,
                                         const nf4j_tensor *dtable);

/* ---- loss ------------------------------------------------------------------------------------------------------------ */

/* For each token t with labels[t] >= 0: logits = hidden[t] * head^T (+ bias), loss[t] = logsumexp(logits) - logits[labels[t]] and
 * dhidden[t] = grad_scale * (softmax(logits) - onehot(labels[t])) * head. Tokens with label -100 cost nothing: loss 0, dhidden 0. Works
 * through the tokens by chunks that fit the workspace; tokens * vocabulary never stands in memory. With hidden in BF16, softmax - onehot
 * may be rounded to it. hidden [m, n]; labels [1, m] I32; loss [1, m] F32; dhidden [m, n] or null when only the loss is wanted. */
NF4J_API int32_t nf4j_loss_linear_cross_entropy(nf4j_stream *stream, const nf4j_tensor *hidden, const nf4j_linear *head,
                                                const nf4j_tensor *labels, float grad_scale, const nf4j_tensor *loss,
                                                const nf4j_tensor *dhidden);

/* ---- optim ----------------------------------------------------------------------------------------------------------- */

/* The factors of one step, for nf4j_adamw_options.device_step. */
typedef struct nf4j_adamw_step {
    double decay;      /* 1 - learning_rate * weight_decay */
    double rate;       /* learning_rate / (1 - beta1^step) */
    double correction; /* sqrt(1 - beta2^step) */
} nf4j_adamw_step;

typedef struct nf4j_adamw_options {
    uint32_t struct_size;
    float learning_rate;
    float beta1;
    float beta2;
    float eps;
    float weight_decay;
    int64_t step; /* 1 for the first */
    /* In device memory, used instead of learning_rate, weight_decay and step; null: these count. */
    const nf4j_adamw_step *device_step;
} nf4j_adamw_options;

/* One parameter: contiguous arrays of n elements in device memory. 32-bit state: m and v F32 [n], absmax null.
 * 8-bit state (bitsandbytes' dynamic maps, blocks of 256): m and v U8 [n], absmax F32 [2 * ceil(n / 256)], m's then v's. */
typedef struct nf4j_adamw_parameter {
    float *param;
    const float *grad;
    void *m;
    void *v;
    float *absmax;
    int64_t n;
} nf4j_adamw_parameter;

/* norm [1, 2] F32: the global L2 norm of the gradients, and the factor min(1, max_norm / (norm + 1e-6)) that clips it (1 when
 * max_norm <= 0). */
NF4J_API int32_t nf4j_optim_global_norm(nf4j_stream *stream, const nf4j_adamw_parameter *parameters, int64_t count,
                                        float max_norm, const nf4j_tensor *norm);
/* *step in device memory = the factors that follow from learning_rate, the betas, weight_decay and step: what a graph's next
 * launch shall take, written on its stream before. */
NF4J_API int32_t nf4j_optim_adamw_step(nf4j_stream *stream, const nf4j_adamw_options *options, nf4j_adamw_step *step);
/* AdamW for all parameters in one call, each gradient first multiplied by *grad_scale (device memory, null = 1).
 * Order of torch: p *= 1 - lr * wd; m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2;
 * p -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps). 8-bit state takes the nearest codes of the new m and v. */
NF4J_API int32_t nf4j_optim_adamw(nf4j_stream *stream, const nf4j_adamw_options *options,
                                  const nf4j_adamw_parameter *parameters, int64_t count, const float *grad_scale);

#ifdef __cplusplus
}
#endif

#endif /* NF4J_H */
