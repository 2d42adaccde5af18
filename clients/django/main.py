"""Django: inspectdb, and models loaded, changed and saved."""

import io
import os
import re
import sys

import django
from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connection, models, transaction

login = sys.argv[1]
options = {"sslmode": os.environ["PGSSLMODE"], "sslrootcert": os.environ["PGSSLROOTCERT"]}
if login == "crm_app":
    options["options"] = "-c search_path=crm -c pgveil.purpose=support"
settings.configure(
    DATABASES={"default": {
        "ENGINE": "django.db.backends.postgresql", "NAME": os.environ["PGDATABASE"], "USER": os.environ["PGUSER"],
        "PASSWORD": os.environ["PGPASSWORD"], "HOST": os.environ["PGHOST"], "PORT": os.environ["PGPORT"],
        "OPTIONS": options,
    }},
    USE_TZ=True, TIME_ZONE="UTC", DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
)
django.setup()


class Customer(models.Model):
    """A customer as both fixtures have it, without what nobody may see."""

    first_name = models.TextField()
    last_name = models.TextField()
    email = models.TextField(unique=True)
    phone = models.TextField(null=True)
    card = models.TextField(null=True)
    birth_date = models.DateField(null=True)
    last_ip = models.GenericIPAddressField(null=True)
    credit_limit = models.DecimalField(max_digits=10, decimal_places=2, null=True)
    notes = models.TextField(null=True)
    region = models.TextField()
    country = models.CharField(max_length=2)
    restricted = models.BooleanField()
    created_at = models.DateTimeField()

    class Meta:
        app_label, db_table, managed, ordering = "tried", "customers", False, ["id"]


class Order(models.Model):
    customer = models.ForeignKey(Customer, models.DO_NOTHING, related_name="orders")
    placed_at = models.DateTimeField()
    status = models.TextField()
    total = models.DecimalField(max_digits=12, decimal_places=2)

    class Meta:
        app_label, db_table, managed, ordering = "tried", "orders", False, ["id"]


class Ticket(models.Model):
    customer = models.ForeignKey(Customer, models.DO_NOTHING)
    region = models.TextField()
    confidential = models.BooleanField(default=False)
    subject = models.CharField(max_length=80)
    body = models.TextField()
    opened_at = models.DateTimeField()

    class Meta:
        app_label, db_table, managed = "tried", "tickets", False


def inspectdb():
    print("# inspectdb")
    out = io.StringIO()
    call_command("inspectdb", stdout=out)
    print(re.sub(r" \(pgveil \w+\)", "", out.getvalue()))


def attempt(what):
    try:
        with transaction.atomic():
            print(what())
    except DatabaseError as e:
        print("error", e.__cause__.pgcode, e.__cause__.diag.message_primary, type(e).__name__)


def fields(o):
    return {f.attname: getattr(o, f.attname) for f in o._meta.concrete_fields}


def restricted():
    inspectdb()
    print("# loaded")
    for customer in Customer.objects.all():
        print(fields(customer))
    print(Customer.objects.filter(card="4111111110201111").values_list("id", "card"))
    print(list(Customer.objects.filter(email__icontains="keller").values_list("id")))
    print(list(Order.objects.select_related("customer").values_list("id", "customer__email")[:3]))
    print(list(Order.objects.values_list("customer__last_name").annotate(models.Count("id"), models.Sum("total")).order_by("customer__last_name")))
    print([o.customer.email for o in Order.objects.prefetch_related("customer").filter(id__lt=4)])
    print([c.id for c in Customer.objects.iterator(chunk_size=2)])
    print("# changed and saved")
    customer = Customer.objects.get(id=1)
    customer.country = "IT"
    attempt(customer.save)
    print(fields(Customer.objects.get(id=1)))
    attempt(lambda: Customer.objects.filter(id=1).update(country="DE"))
    attempt(lambda: Customer.objects.bulk_update(Customer.objects.filter(id__in=[1, 2]), ["email", "country"]))
    with transaction.atomic():
        attempt(lambda: Customer.objects.select_for_update().get(id=1).pk)
    print("# added")
    attempt(lambda: Ticket.objects.create(customer_id=2, region="EU", subject="by Django", body="mail a@example.org", opened_at="2026-11-22T00:00Z").pk > 8)
    attempt(lambda: Order.objects.bulk_create([Order(customer_id=1, placed_at="2026-11-22T00:00Z", status="new", total=1)]))
    print(list(Ticket.objects.filter(subject="by Django").values_list("body", flat=True)))
    print("# refused")
    attempt(lambda: Customer.objects.raw("SELECT id, ssn FROM customers")[0])
    attempt(lambda: Customer.objects.filter(id=4)._raw_delete("default"))
    attempt(lambda: Customer.objects.extra(select={"ssn": "ssn"})[0])
    print(Customer.objects.count())


def dora():
    inspectdb()
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        print(len(connection.introspection.table_names(cursor)), connection.introspection.get_constraints(cursor, "auth_user_groups"))
    from django.contrib.auth.models import User

    user = User.objects.create_user("ada", password="secret")
    print(User.objects.get(username="ada") == user, User.objects.filter(groups=None).exists())
    for customer in Customer.objects.all():
        print(fields(customer))
    customer = Customer.objects.get(id=1)
    customer.email = "new@example.org"
    customer.save()
    print(fields(Customer.objects.get(id=1)))
    print(Order.objects.select_related("customer").filter(customer__last_name="Keller").explain(costs=False))
    print(Ticket.objects.create(customer_id=2, region="EU", subject="by Django", body="mail a@example.org", opened_at="2026-11-22T00:00Z").pk)
    attempt(lambda: Order.objects.create(customer_id=99, placed_at="2026-11-22T00:00Z", status="new", total=1))
    print([o.id for o in Order.objects.iterator(chunk_size=2)])
    call_command("migrate", "auth", "zero", verbosity=0)


dora() if login == "dora" else restricted()
