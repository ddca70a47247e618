// The generated code includes this header and uses nothing of it.
