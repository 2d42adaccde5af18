-- Two made-up people. What is Ada's says ada-N somewhere, what is Bob's bob-N;
-- what is neither's names neither. Ada is user 10 and record 100.
INSERT INTO users (id, email, name, meta) VALUES (10, 'ada-1@corteza.example', 'ada-2', '{"avatar": "ada-3"}'), (11, 'bob-1@corteza.example', 'bob-2', '{}');
INSERT INTO credentials (id, rel_owner, kind, label) VALUES (1, 10, 'password', 'ada-4'), (2, 11, 'password', 'bob-4');
INSERT INTO auth_sessions (id, rel_user, user_agent) VALUES ('s1', 10, 'ada-5'), ('s2', 11, 'bob-5');
INSERT INTO auth_oa2tokens (id, rel_user, user_agent) VALUES (1, 10, 'ada-6'), (2, 11, 'bob-6');
INSERT INTO roles (id, name) VALUES (1, 'Sales');
INSERT INTO role_members (rel_user, rel_role) VALUES (10, 1), (11, 1);
INSERT INTO reminders (id, resource, payload, assigned_to) VALUES (1, 'ada-7', '{}', 10), (2, 'bob-7', '{}', 11);
INSERT INTO attachments (id, rel_owner, name) VALUES (1, 10, 'ada-8'), (2, 11, 'bob-8');
INSERT INTO actionlog (id, ts, actor_id, actor_ip_addr, description) VALUES (1, now(), 10, '192.0.2.1', 'ada-9'), (2, now(), 11, '192.0.2.2', 'bob-9');
INSERT INTO data_privacy_requests (id, kind, requested_by) VALUES (1, 'ada-10', 10), (2, 'bob-10', 11);
INSERT INTO data_privacy_request_comments (id, rel_request, comment) VALUES (1, 1, 'ada-11'), (2, 2, 'bob-11');
INSERT INTO compose_namespace (id, slug) VALUES (1, 'crm');
INSERT INTO compose_module (id, rel_namespace, handle) VALUES (1, 1, 'Contact');
INSERT INTO compose_record (id, rel_namespace, rel_module, "values", owned_by) VALUES
  (100, 1, 1, '{"FirstName": ["ada-12"], "Email": ["ada-12@buyer.example"]}', 5), (101, 1, 1, '{"FirstName": ["bob-12"]}', 5);
