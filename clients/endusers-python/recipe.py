import os
import pathlib
import secrets
import time
from contextlib import contextmanager

import jwt

KEY = pathlib.Path(os.environ["CRM_KEY_FILE"]).read_text().strip()


# Gives a connection whose transaction is the user's.
@contextmanager
def acting_as(pool, user):
    now = int(time.time())
    claims = {"iss": "crm", "aud": "pgveil", "sub": user.name, "roles": user.roles, "attributes": user.attributes,
              "jti": secrets.token_hex(16), "iat": now, "exp": now + 60, "transaction": True}
    with pool.connection() as conn, conn.transaction():
        conn.execute("SELECT set_config('pgveil.token', %s, true)", [jwt.encode(claims, KEY, "HS256")])
        yield conn
