"""Drawing with vLLM: `engine` is the only file that knows it."""
