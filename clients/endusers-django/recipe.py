import os
import pathlib
import secrets
import time

import jwt
from django.db import connection

KEY = pathlib.Path(os.environ["CRM_KEY_FILE"]).read_text().strip()


# A middleware: every statement of a request says whose it is.
def acting_as(get_response):
    def respond(request):
        user, now = request.user, int(time.time())
        claims = {"iss": "crm", "aud": "pgveil", "sub": user.name, "roles": user.roles, "attributes": user.attributes,
                  "jti": secrets.token_hex(16), "iat": now, "exp": now + 60}
        comment = " /*pgveil.token='" + jwt.encode(claims, KEY, "HS256") + "'*/"
        with connection.execute_wrapper(lambda execute, sql, *rest: execute(sql + comment, *rest)):
            return get_response(request)
    return respond
