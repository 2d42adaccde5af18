-- Two made-up people. What is Ada's says ada-N somewhere, what is Bob's bob-N;
-- what is neither's names neither.
INSERT INTO res_country (id, code, name) VALUES (1, 'IE', '{"en_US": "Ireland"}');
INSERT INTO res_partner (id, name, email, email_normalized, phone, is_company, parent_id, type) VALUES
  (1, 'Seller', 'office@seller.example', 'office@seller.example', NULL, true, NULL, 'contact'),
  (2, 'Staff', 'staff@seller.example', 'staff@seller.example', NULL, false, 1, 'contact'),
  (3, 'Buyer Ltd', 'office@buyer.example', 'office@buyer.example', NULL, true, NULL, 'contact'),
  (10, 'ada-1', 'ada-1@buyer.example', 'ada-1@buyer.example', '+353 1 5550101', false, 3, 'contact'),
  (11, 'bob-1', 'bob-1@buyer.example', 'bob-1@buyer.example', '+353 1 5550102', false, 3, 'contact');
INSERT INTO res_company (id, name, partner_id) VALUES (1, 'Seller', 1);
INSERT INTO res_users (id, company_id, partner_id, login, password) VALUES (5, 1, 2, 'staff', 'hashed');
UPDATE res_partner SET user_id = 5, create_uid = 5, write_uid = 5 WHERE id >= 10;
INSERT INTO res_partner_category (id, name) VALUES (1, '{"en_US": "Gold"}');
INSERT INTO res_partner_res_partner_category_rel (category_id, partner_id) VALUES (1, 10), (1, 11);
INSERT INTO res_partner_bank (id, partner_id, acc_number) VALUES (1, 10, 'ada-2'), (2, 11, 'bob-2');
INSERT INTO crm_stage (id, name) VALUES (1, '{"en_US": "New"}');
INSERT INTO crm_lead (id, partner_id, user_id, stage_id, name, contact_name, email_normalized) VALUES
  (20, 10, 5, 1, 'ada-3', 'ada-4', 'ada-1@buyer.example'),
  (21, 11, 5, 1, 'bob-3', 'bob-4', 'bob-1@buyer.example'),
  (22, NULL, 5, 1, 'ada-16', 'ada-17', 'Ada-1@buyer.example');
INSERT INTO mail_message (id, model, res_id, author_id, subject, body) VALUES
  (30, 'res.partner', 10, 2, 'ada-5', 'said of her'),
  (31, 'res.partner', 11, 2, 'bob-5', 'said of him'),
  (32, 'crm.lead', 10, 2, 'a lead that is nobody''s', 'its number is that of a contact'),
  (33, 'product.template', 10, 2, 'of a product', 'its number is that of a contact'),
  (34, 'sale.order', 40, 10, 'ada-6', 'of her order'),
  (35, 'sale.order', 41, 11, 'bob-6', 'of his order');
INSERT INTO mail_tracking_value (id, mail_message_id, old_value_char, new_value_char) VALUES (1, 30, 'ada-7', 'ada-8'), (2, 31, 'bob-7', 'bob-8');
INSERT INTO mail_followers (id, res_model, res_id, partner_id) VALUES (1, 'res.partner', 10, 2), (2, 'crm.lead', 20, 10), (3, 'crm.lead', 21, 11);
INSERT INTO mail_activity (id, res_model, res_id, user_id, summary) VALUES
  (1, 'res.partner', 10, 5, 'ada-9'), (2, 'res.partner', 11, 5, 'bob-9'), (3, 'crm.lead', 10, 5, 'of a lead that is nobody''s');
INSERT INTO ir_attachment (id, res_model, res_id, name) VALUES (1, 'res.partner', 10, 'ada-10'), (2, 'res.partner', 11, 'bob-10'), (3, 'res.company', 10, 'of a company');
INSERT INTO calendar_event (id, name, user_id) VALUES (1, 'Meeting', 5);
INSERT INTO calendar_attendee (id, event_id, partner_id, common_name) VALUES (1, 1, 10, 'ada-11'), (2, 1, 11, 'bob-11');
INSERT INTO calendar_event_res_partner_rel (calendar_event_id, res_partner_id) VALUES (1, 10), (1, 11);
INSERT INTO sale_order (id, name, partner_id, partner_invoice_id, partner_shipping_id, user_id, company_id, note) VALUES
  (40, 'S1', 10, 10, 10, 5, 1, 'ada-12'), (41, 'S2', 11, 11, 11, 5, 1, 'bob-12');
INSERT INTO sale_order_line (id, order_id, name) VALUES (1, 40, 'ada-13'), (2, 41, 'bob-13');
INSERT INTO account_move (id, name, partner_id, company_id, invoice_date, invoice_partner_display_name) VALUES
  (50, 'INV1', 10, 1, '2026-01-15', 'ada-14'), (51, 'INV2', 11, 1, '2026-01-16', 'bob-14');
INSERT INTO mailing_contact (id, name, email, email_normalized) VALUES
  (1, 'ada-15', 'Ada-1@Buyer.example', 'ada-1@buyer.example'), (2, 'bob-15', 'bob-1@buyer.example', 'bob-1@buyer.example');
