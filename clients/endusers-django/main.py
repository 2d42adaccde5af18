"""A Django application with many end users behind one login. Its threads keep
their connections. What it sees it holds against what each user should."""
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

from django.conf import settings

settings.configure(DATABASES={"default": {
    "ENGINE": "django.db.backends.postgresql", "NAME": os.environ["PGDATABASE"], "USER": os.environ["PGUSER"],
    "PASSWORD": os.environ["PGPASSWORD"], "HOST": os.environ["PGHOST"], "PORT": os.environ["PGPORT"], "CONN_MAX_AGE": None}})

import django  # noqa: E402
from django.db import Error, connection, models, transaction  # noqa: E402

django.setup()

from recipe import acting_as  # noqa: E402


class Customer(models.Model):
    region = models.TextField()

    class Meta:
        app_label, db_table, managed = "crm", "customers", False


def user(name, region, *sees):
    return SimpleNamespace(name=name, roles=["agent"], attributes={"region": region}, sees=list(sees))


USERS = [user("anna", "EU", 1, 2, 3, 4, 10), user("bert", "US", 5, 6, 7), user("chloë", "APAC", 8, 9), user("d'Or", "EU", 1, 2, 3, 4, 10)]
REQUESTS = 240


def sees():
    return list(Customer.objects.filter(id__gt=0).order_by("id").values_list("id", flat=True))


def state(work):
    try:
        work()
        return "ok"
    except Error as e:
        return e.__cause__.pgcode


def view(request):
    """Says what became of one request."""
    own = False

    def work():
        nonlocal own
        with transaction.atomic():
            own = sees() == request.user.sees
            if request.fails:
                connection.cursor().execute("SELECT 1/0")

    outcome = state(work)
    return f"own rows {str(own).lower()}: {outcome}"


def request(i):
    """Answers one request. Some fail amid their transaction, and some come
    without a token."""
    if i % 5 == 4:
        return f"without a token: {state(sees)}"
    return acting_as(view)(SimpleNamespace(user=USERS[i // 5 % len(USERS)], fails=i % 5 == 2))


with ThreadPoolExecutor(2) as workers:
    outcomes = Counter(workers.map(request, range(REQUESTS)))
print("# requests")
for outcome in sorted(outcomes):
    print(outcomes[outcome], outcome)


def iterate(request):
    """Reads by a cursor of the server's, whose FETCH no middleware sees, and
    without one."""
    print("# iterator")
    for disabled in [False, True]:
        connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"] = disabled
        print(disabled, state(lambda: list(Customer.objects.iterator())))


acting_as(iterate)(SimpleNamespace(user=USERS[0]))
