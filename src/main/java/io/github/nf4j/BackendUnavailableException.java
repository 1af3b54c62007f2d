package io.github.nf4j;

/// The library or the device of a backend is missing; the message lists what was tried.
public final class BackendUnavailableException extends Nf4jException {
    private static final long serialVersionUID = 1L;

    public BackendUnavailableException(String message) {
        super(message);
    }
}
