/// The operations: one class a family of `nf4j.h`, one method a C function. The stream comes first, what is written last.
///
/// What does not fit is refused with an exception that names it:
///
/// - `IllegalArgumentException`: a shape, type, value or alignment, an output in read-only memory;
/// - `UnsupportedOperationException`: what this backend cannot do;
/// - `IllegalStateException`: a stream that another thread is using, and anything that is closed.
///
/// On a host backend a call is over when it returns, and nothing that it uses can be closed before, arenas of the caller's included.
/// On a GPU it is queued: there the caller keeps its arenas open until the stream is synchronized, and a failure comes from a later
/// call as a [io.github.nf4j.DeviceLostException].
package io.github.nf4j.op;
