"""What models compute of text, evaluated by the host once for each different string: TensorFlow's meaning, without TensorFlow."""
