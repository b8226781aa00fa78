//! LLM wire formats <-> one neutral Prompt and Delta. Pure: bytes in, bytes out.
