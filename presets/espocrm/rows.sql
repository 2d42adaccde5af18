-- Two made-up people. What is Ada's says ada-N somewhere, what is Bob's bob-N;
-- what is neither's names neither. Ada is contact a1 and lead a2.
INSERT INTO account (id, name) VALUES ('acc', 'Buyer Ltd');
INSERT INTO "user" (id, user_name, first_name, type) VALUES ('usr', 'staff', 'Staff', 'regular');
INSERT INTO contact (id, first_name, last_name, account_id, assigned_user_id) VALUES ('a1', 'ada-1', 'Love', 'acc', 'usr'), ('b1', 'bob-1', 'Base', 'acc', 'usr');
INSERT INTO lead (id, first_name, account_name) VALUES ('a2', 'ada-2', 'Buyer'), ('b2', 'bob-2', 'Buyer');
INSERT INTO account_contact (id, account_id, contact_id, role) VALUES (1, 'acc', 'a1', 'ada-3'), (2, 'acc', 'b1', 'bob-3');
INSERT INTO email_address (id, name, lower) VALUES ('ea', 'ada-4@buyer.example', 'ada-4@buyer.example'), ('eb', 'bob-4@buyer.example', 'bob-4@buyer.example'),
  ('el', 'ada-5@buyer.example', 'ada-5@buyer.example');
INSERT INTO entity_email_address (id, entity_id, email_address_id, entity_type, "primary") VALUES
  (1, 'a1', 'ea', 'Contact', true), (2, 'b1', 'eb', 'Contact', true), (3, 'a2', 'el', 'Lead', true), (4, 'a1', 'eb', 'Account', true);
INSERT INTO phone_number (id, name, type) VALUES ('pa', '+353 ada-6', 'Mobile'), ('pb', '+353 bob-6', 'Mobile');
INSERT INTO entity_phone_number (id, entity_id, phone_number_id, entity_type) VALUES (1, 'a1', 'pa', 'Contact'), (2, 'b1', 'pb', 'Contact');
INSERT INTO opportunity (id, name, account_id, contact_id) VALUES ('oa', 'ada-7', 'acc', 'a1'), ('ob', 'bob-7', 'acc', 'b1');
INSERT INTO "case" (id, name, contact_id) VALUES ('ca', 'ada-8', 'a1'), ('cb', 'bob-8', 'b1');
INSERT INTO "call" (id, name, parent_id, parent_type) VALUES ('la', 'ada-9', 'a1', 'Contact'), ('lb', 'bob-9', 'b1', 'Contact'), ('lc', 'of an account', 'a1', 'Account'),
  ('ll', 'ada-10', 'a2', 'Lead');
INSERT INTO task (id, name, parent_id, parent_type) VALUES ('ta', 'ada-11', 'ca', 'Case'), ('tb', 'bob-11', 'cb', 'Case');
INSERT INTO email (id, name, body, from_email_address_id, parent_id, parent_type) VALUES
  ('ma', 'ada-12', 'she wrote it', 'ea', NULL, NULL), ('mb', 'bob-12', 'he wrote it', 'eb', NULL, NULL),
  ('mc', 'ada-13', 'of her case', NULL, 'ca', 'Case');
INSERT INTO email (id, name, body) VALUES ('md', 'ada-14', 'sent to her');
INSERT INTO email_email_address (id, email_id, email_address_id, address_type) VALUES (1, 'md', 'ea', 'to'), (2, 'mb', 'eb', 'to');
INSERT INTO note (id, post, parent_id, parent_type) VALUES ('na', 'ada-15', 'a1', 'Contact'), ('nb', 'bob-15', 'b1', 'Contact'),
  ('nc', 'ada-16', 'ca', 'Case'), ('nd', 'of an account', 'a1', 'Account'), ('nl', 'ada-17', 'a2', 'Lead');
INSERT INTO attachment (id, name, parent_id, parent_type) VALUES ('fa', 'ada-18', 'na', 'Note'), ('fb', 'bob-18', 'nb', 'Note'), ('fc', 'of an e-mail', 'ma', 'Email');
INSERT INTO target_list (id, name) VALUES ('list', 'Newsletter');
INSERT INTO contact_target_list (id, contact_id, target_list_id, opted_out) VALUES (1, 'a1', 'list', false), (2, 'b1', 'list', true);
INSERT INTO campaign_log_record (id, action, string_data, parent_id, parent_type) VALUES ('ra', 'Opened', 'ada-20@buyer.example', 'a1', 'Contact'), ('rb', 'Opened', 'bob-20@buyer.example', 'b1', 'Contact');
-- An e-mail to both.
INSERT INTO email (id, name) VALUES ('mz', 'both-1');
INSERT INTO email_email_address (id, email_id, email_address_id, address_type) VALUES (3, 'mz', 'ea', 'to'), (4, 'mz', 'eb', 'to');
