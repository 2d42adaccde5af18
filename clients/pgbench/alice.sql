\set id random(1, 4)
SELECT id, email FROM customers WHERE id = :id;
SELECT c.id, sum(total) FROM customers c LEFT JOIN orders o ON o.customer_id = c.id WHERE c.id = :id GROUP BY c.id;
UPDATE customers SET country = country WHERE id = :id;
