-- Two made-up people. What is Ada's says ada-N somewhere, what is Bob's bob-N;
-- what is neither's names neither. Ada is contact a1, lead a2 and target a3.
INSERT INTO accounts (id, name) VALUES ('acc', 'Buyer Ltd');
INSERT INTO users (id, user_name) VALUES ('usr', 'staff');
INSERT INTO contacts (id, first_name, phone_mobile, assigned_user_id) VALUES ('a1', 'ada-1', '+353 1', 'usr'), ('b1', 'bob-1', '+353 2', 'usr');
INSERT INTO leads (id, first_name, contact_id) VALUES ('a2', 'ada-2', NULL), ('b2', 'bob-2', NULL);
INSERT INTO prospects (id, first_name) VALUES ('a3', 'ada-3'), ('b3', 'bob-3');
INSERT INTO accounts_contacts (id, contact_id, account_id) VALUES ('1', 'a1', 'acc'), ('2', 'b1', 'acc');
INSERT INTO email_addresses (id, email_address) VALUES ('ea', 'ada-4@buyer.example'), ('eb', 'bob-4@buyer.example'), ('el', 'ada-5@buyer.example'), ('ep', 'ada-6@buyer.example');
INSERT INTO email_addr_bean_rel (id, email_address_id, bean_id, bean_module) VALUES
  ('1', 'ea', 'a1', 'Contacts'), ('2', 'eb', 'b1', 'Contacts'), ('3', 'el', 'a2', 'Leads'), ('4', 'ep', 'a3', 'Prospects'), ('5', 'eb', 'a1', 'Accounts');
INSERT INTO cases (id, name) VALUES ('ca', 'ada-7'), ('cb', 'bob-7');
INSERT INTO contacts_cases (id, contact_id, case_id) VALUES ('1', 'a1', 'ca'), ('2', 'b1', 'cb');
INSERT INTO calls (id, name, parent_type, parent_id) VALUES ('la', 'ada-8', 'Contacts', 'a1'), ('lb', 'bob-8', 'Contacts', 'b1'), ('lc', 'of an account', 'Accounts', 'a1'),
  ('ll', 'ada-9', 'Leads', 'a2');
INSERT INTO notes (id, name, parent_type, parent_id) VALUES ('na', 'ada-10', 'Contacts', 'a1'), ('nb', 'bob-10', 'Contacts', 'b1'), ('nc', 'of a case', 'Cases', 'ca'),
  ('nd', 'of another', 'Cases', 'cb'), ('ne', 'of an e-mail', 'Emails', 'ma');
INSERT INTO emails (id, name) VALUES ('ma', 'ada-13'), ('mb', 'bob-13'), ('mc', 'ada-14');
INSERT INTO emails_text (email_id, from_addr, description) VALUES ('ma', 'shop@seller.example', 'ada-15'), ('mb', 'shop@seller.example', 'bob-15');
INSERT INTO emails_beans (id, email_id, bean_id, bean_module) VALUES ('1', 'ma', 'a1', 'Contacts'), ('2', 'mb', 'b1', 'Contacts');
INSERT INTO emails_email_addr_rel (id, email_id, address_type, email_address_id) VALUES ('1', 'mc', 'to', 'ea'), ('2', 'mb', 'to', 'eb');
INSERT INTO documents (id, document_name) VALUES ('da', 'ada-16'), ('db', 'bob-16');
INSERT INTO documents_contacts (id, document_id, contact_id) VALUES ('1', 'da', 'a1'), ('2', 'db', 'b1');
INSERT INTO campaign_log (id, target_id, target_type, more_information) VALUES ('1', 'a1', 'Contacts', 'ada-17'), ('2', 'b1', 'Contacts', 'bob-17'), ('3', 'a3', 'Prospects', 'ada-18');
INSERT INTO contacts_audit (id, parent_id, field_name, before_value_string, after_value_string) VALUES ('1', 'a1', 'last_name', 'ada-19', 'ada-20'), ('2', 'b1', 'last_name', 'bob-19', 'bob-20');
-- An e-mail to both, with what it says, and a case and a document of both.
INSERT INTO emails (id, name) VALUES ('mz', 'both-1'), ('my', 'both-2');
INSERT INTO emails_text (email_id, description) VALUES ('mz', 'both-3');
INSERT INTO emails_email_addr_rel (id, email_id, address_type, email_address_id) VALUES ('3', 'mz', 'to', 'ea'), ('4', 'mz', 'to', 'eb');
INSERT INTO emails_beans (id, email_id, bean_id, bean_module) VALUES ('3', 'my', 'a1', 'Contacts'), ('4', 'my', 'b1', 'Contacts');
INSERT INTO cases (id, name) VALUES ('cz', 'both-4');
INSERT INTO contacts_cases (id, contact_id, case_id) VALUES ('3', 'a1', 'cz'), ('4', 'b1', 'cz');
INSERT INTO documents (id, document_name) VALUES ('dz', 'both-5');
INSERT INTO documents_contacts (id, document_id, contact_id) VALUES ('3', 'dz', 'a1'), ('4', 'dz', 'b1');
