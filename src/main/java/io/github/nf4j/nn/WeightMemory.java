package io.github.nf4j.nn;

/// What a model's frozen weights take.
///
/// @param bytes      bytes on the device
/// @param denseBytes bytes that they would take there without quantization
public record WeightMemory(long bytes, long denseBytes) {
}
