"""SQLAlchemy: what it finds out about a database, and objects loaded, changed and saved."""

import sys

from sqlalchemy import ARRAY, Column, Integer, MetaData, String, Table, create_engine, func, inspect, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.automap import automap_base
from sqlalchemy.orm import Session, defer, joinedload, selectinload
from sqlalchemy.orm.attributes import flag_modified

engine = create_engine("postgresql+psycopg2://", future=True)


def attempt(what):
    """Print what a function gives, or the server's error."""
    try:
        print(what())
    except DBAPIError as e:
        print("error", e.orig.pgcode, e.orig.diag.message_primary, type(e).__name__)


def inspection(schema):
    print("# inspected")
    i = inspect(engine)
    print(i.get_schema_names(), i.get_view_names(schema), [(e["name"], e["labels"]) for e in i.get_enums(schema)])
    for table in sorted(i.get_table_names(schema)):
        print(table, i.get_pk_constraint(table, schema), i.get_table_comment(table, schema))
        for column in i.get_columns(table, schema):
            print(" ", column["name"], column["type"], column["nullable"], column["default"], column.get("identity", {}).get("start"))
        for what in (i.get_foreign_keys, i.get_indexes, i.get_unique_constraints, i.get_check_constraints):
            print(" ", sorted(what(table, schema), key=str))


def mapped(schema):
    """Classes made of what is in the database, as automap makes them."""
    base = automap_base(metadata=MetaData(schema=schema))
    base.prepare(engine, reflect=True)
    return base.classes


def fields(o):
    return {k: v for k, v in sorted(vars(o).items()) if not k.startswith("_")}


def save(session, customer, **changes):
    """Change a customer, and save every one of its columns, changed or not."""
    print(fields(customer))
    for name, value in changes.items():
        setattr(customer, name, value)
    for name in fields(customer):
        if name != "id":
            flag_modified(customer, name)
    try:
        session.commit()
        print("saved")
    except DBAPIError as e:
        session.rollback()
        print("error", e.orig.pgcode, e.orig.diag.message_primary)


def alice():
    inspection("public")
    c = mapped(None)
    print("# loaded")
    with Session(engine) as session:
        attempt(lambda: session.execute(select(c.customers)).scalars().all())
        session.rollback()
        attempt(lambda: session.execute(select(func.count()).select_from(c.orders)).scalar())
        seen = select(c.customers).options(defer(c.customers.ssn)).order_by(c.customers.id)
        for customer in session.execute(seen).scalars():
            print(fields(customer))
        print("# related")
        for order in session.execute(select(c.orders).options(joinedload(c.orders.customers).defer(c.customers.ssn)).limit(3).order_by(c.orders.id)).scalars():
            print(order.id, order.status, order.customers.email)
        for order in session.execute(select(c.orders).options(selectinload(c.orders.order_items_collection)).limit(2).order_by(c.orders.id)).scalars():
            print(order.id, sorted(i.product for i in order.order_items_collection))
        print("# changed and saved")
        customer = session.execute(seen).scalars().first()
        save(session, customer, country="IT")
        session.expire_all()
        customer = session.execute(seen).scalars().first()
        customer.country, customer.phone = "DE", "+49 30 1"
        session.commit()
        print(session.execute(select(c.customers.country, c.customers.phone).where(c.customers.id == 1)).one())
        session.execute(text("UPDATE customers SET phone = '+49 30 9018 2273' WHERE id = 1"))  # as it was
        session.commit()
        print("# added")
        ticket = c.tickets(customer_id=2, region="EU", subject="by SQLAlchemy", body="mail a@example.org", opened_at="2026-11-22")
        session.add(ticket)
        session.commit()
        print(ticket.id, ticket.body, ticket.confidential)
        session.delete(session.get(c.orders, 1))
        attempt(session.commit)
        session.rollback()
        attempt(lambda: session.execute(text("SELECT ssn FROM customers")).all())
        attempt(lambda: session.execute(text("SELECT 1")).all())
        session.rollback()
        attempt(lambda: session.execute(text("SELECT 'again'")).all())


def crm_app():
    global engine
    engine = create_engine("postgresql+psycopg2://?options=-c%20pgveil.purpose%3Dsupport", future=True)
    inspection("crm")
    customers = Table("customers", MetaData(), schema="crm", autoload_with=engine)
    print("# changed and saved")
    c = mapped("crm")
    hidden = [defer(c.customers.ssn)]
    with Session(engine) as session:
        seen = select(c.customers).options(*hidden).order_by(c.customers.id)
        for customer in session.execute(seen).scalars():
            print(customer.id, customer.last_name, customer.email)
        save(session, session.execute(seen).scalars().first(), city="Altona")
        session.expire_all()
        print(fields(session.execute(seen).scalars().first()))
    print(sorted(customers.c.keys()))


def dora():
    inspection("public")
    c = mapped(None)
    print("# objects")
    with Session(engine) as session:
        for customer in session.execute(select(c.customers).order_by(c.customers.id)).scalars():
            print(fields(customer))
        save(session, session.get(c.customers, 1), email="new@example.org")
        ticket = c.tickets(customer_id=2, region="EU", subject="by SQLAlchemy", body="mail a@example.org", opened_at="2026-11-22")
        session.add(ticket)
        session.commit()
        print(fields(session.get(c.tickets, ticket.id, populate_existing=True)))
        session.delete(ticket)
        session.commit()
        session.add_all([c.countries(code=f"X{i}", name="made", region="EU") for i in range(9)])
        session.commit()
        attempt(lambda: session.execute(text("SELECT 1 / 0")).all())
        attempt(lambda: session.execute(text("SELECT 1")).all())
    print("# tables made")
    made = MetaData()
    Table("made", made, Column("id", Integer, primary_key=True), Column("names", ARRAY(String(10)), comment="of things"))
    made.create_all(engine)
    print(inspect(engine).has_table("made"), inspect(engine).get_columns("made"))
    made.drop_all(engine)
    with engine.connect().execution_options(stream_results=True, isolation_level="SERIALIZABLE") as connection:
        print(connection.execute(text("SELECT generate_series(1, 5000)")).fetchmany(3))


{"alice": alice, "crm_app": crm_app, "dora": dora}[sys.argv[1]]()
