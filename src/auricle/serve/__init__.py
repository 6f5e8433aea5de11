"""The service: a page for a cardiologist and answers for programs, over the library. Research use, not a diagnosis."""
