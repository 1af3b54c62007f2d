package io.github.nf4j;

/// The device failed and refuses all work until it is closed and opened again.
public final class DeviceLostException extends Nf4jException {
    private static final long serialVersionUID = 1L;

    public DeviceLostException(String message) {
        super(message);
    }
}
