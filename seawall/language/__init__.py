"""Language models as agents: any OpenAI-compatible endpoint, recorded so that runs can be repeated.

``agents.language_model`` is the agent. Here is what it is made of: requests and their hash, the
cassette that every call goes through, the endpoint, the tool whose schema is the job's actions, the
prompt, masks that hide which market it is, and what is found out about a model with them: whether
it remembers the window (``contamination``) and whether it obeys what a text tells it (``drill``).
"""
