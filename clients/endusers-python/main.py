"""An application with many end users behind one login and one small pool. What
it sees it holds against what each of them should."""
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jwt
import psycopg
from psycopg_pool import ConnectionPool

from recipe import KEY, acting_as


class User(NamedTuple):
    name: str
    region: str
    sees: list
    roles: list = ["agent"]

    @property
    def attributes(self):
        return {"region": self.region}


USERS = [User("anna", "EU", [1, 2, 3, 4, 10]), User("bert", "US", [5, 6, 7]), User("chloë", "APAC", [8, 9]), User("d'Or", "EU", [1, 2, 3, 4, 10])]
REQUESTS = 240
WORKERS = 8  # four for each connection
CUSTOMERS = "SELECT id FROM customers WHERE id > %s ORDER BY id"


def sees(conn):
    return [row[0] for row in conn.execute(CUSTOMERS, [0], prepare=True)]


def state(work, *args):
    try:
        work(*args)
        return "ok"
    except psycopg.Error as e:
        return e.sqlstate or str(e)


def request(pool, user, i):
    """Says what became of one request. Some fail amid their transaction, and
    some come without a token."""
    own = False

    def without():
        with pool.connection() as conn:
            sees(conn)

    def work():
        nonlocal own
        with acting_as(pool, user) as conn:
            own = sees(conn) == user.sees
            if i % 5 == 2:
                conn.execute("SELECT 1/0")

    if i % 5 == 4:
        return f"without a token: {state(without)}"
    outcome = state(work)
    return f"own rows {str(own).lower()}: {outcome}"


def serve(pool):
    """Answers requests of all users at once."""
    with ThreadPoolExecutor(WORKERS) as workers:
        outcomes = Counter(workers.map(lambda i: request(pool, USERS[i // 5 % len(USERS)], i), range(REQUESTS)))
    print("# requests")
    for outcome in sorted(outcomes):
        print(outcomes[outcome], outcome)


def sign(id, name, secret, **more):
    """Makes a token; more replaces or adds claims."""
    now = int(time.time())
    claims = {"iss": "crm", "aud": "pgveil", "sub": name, "roles": ["agent"], "attributes": {"region": "EU"}, "jti": id, "iat": now, "exp": now + 60}
    return jwt.encode({**claims, **more}, secret, "HS256")


def prepared(conn):
    """Has one prepared statement run for one user after the other."""
    print("# prepared once")
    for user in USERS:
        conn.execute(f"SET pgveil.token = '{sign('prepared for ' + user.name, user.name, KEY, attributes=user.attributes)}'")
        print(user.name, str(sees(conn)).replace(",", ""), "ok")
    print("nobody", state(conn.execute, "RESET pgveil.token"), state(sees, conn))


def refused(pool, conn):
    """Tries tokens that must not count. conn is one of the pool's two, so that
    the pool gives the other."""
    print("# refused")
    past = int(time.time()) - 3600
    for name, secret, more in [
        ("good", KEY, {}),
        ("forged", "another secret of 32 bytes or more", {}),
        ("expired", KEY, {"iat": past, "exp": past + 60}),
        ("for others", KEY, {"aud": "another"}),
        ("more than the login may", KEY, {"roles": ["dba"]}),
    ]:
        sql = f"SET pgveil.token = '{sign(name, 'anna', secret, **more)}'"
        with pool.connection() as other:
            print(f"{name}: {state(conn.execute, sql)}, on another connection: {state(other.execute, sql)}")
    with pool.connection() as other:
        print("unsigned:", state(other.execute, "SET pgveil.end_user = 'anna'"))


with ConnectionPool("", min_size=2, max_size=2) as pool:
    serve(pool)
    with pool.connection() as conn:
        conn.autocommit = True
        prepared(conn)
        refused(pool, conn)
