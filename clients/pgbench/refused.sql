SELECT id, ssn FROM customers;
