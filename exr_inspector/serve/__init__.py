"""`serve`: the function behind the platform's HTTP contract.

    POST ─ body ─▶ events.from_http ─▶ Function.submit ─▶ outcomes ─▶ 204 or 500
                                                             └─▶ results ─▶ sink

HTTP only: what an event asks for, what is read and what is written is `dataengine`'s. `docs/SERVERLESS_INTEGRATION.md`
says what is answered when, `docs/decisions/0063-serve.md` why.
"""
