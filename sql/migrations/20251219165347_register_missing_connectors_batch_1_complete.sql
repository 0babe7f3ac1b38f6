-- Registers 7 of the 99 platform connectors, as the registry described them then. Runs before the code.
-- millrace: re-runnable
--
-- WooCommerce to Zoom. The manifests promise one connection test and nothing else; working ones come in later
-- migrations. A connector or a version that is already registered is left alone.

insert into public.connector (id, slug, name, status, latest_version_id, created_at, is_platform)
values
    (
        '88595c59-654b-553a-b02b-b28012dc88de', 'woocommerce', 'WooCommerce', 'beta',
        'b259fc20-0baf-597a-ba6d-e7c3e1bfd048', '2025-12-19 16:53:47', true
    ),
    (
        '6b038a5c-bf21-504a-b82d-822357574ed7', 'wrike', 'Wrike', 'beta',
        '50393c82-376b-5b18-8c7e-18d37db3279f', '2025-12-19 16:53:47', true
    ),
    (
        'dc77e887-d97a-5336-b949-4aff7c25f95b', 'xero', 'Xero', 'beta',
        '8a0642f3-4e0f-573c-9998-5ad51cb2d30f', '2025-12-19 16:53:47', true
    ),
    (
        'fb0c1e92-2f82-5a82-b790-300a259b7945', 'youtube', 'YouTube', 'beta',
        'ceb23bcb-8f2a-5a7a-a71e-e4e07053f461', '2025-12-19 16:53:47', true
    ),
    (
        '8c2e2942-283e-5ba9-baee-28bc6d52b3af', 'zendesk', 'Zendesk', 'beta',
        '16b053f9-1261-5c53-ac9e-bca4a053a7f6', '2025-12-19 16:53:47', true
    ),
    (
        '3517137b-cc54-5523-bb2c-d6f0d6d0f2c9', 'zoho-crm', 'Zoho CRM', 'beta',
        'd2858ee2-f695-5d52-ab20-3db6838c7eaa', '2025-12-19 16:53:47', true
    ),
    (
        '70ab3f60-895f-52bb-99d4-aeedf01cca75', 'zoom', 'Zoom', 'beta',
        '0de99859-1592-51da-bb91-2d53d63cccca', '2025-12-19 16:53:47', true
    )
on conflict do nothing;

insert into public.connectorversion (id, connector_id, version, manifest, created_at)
select
    listed.id::uuid,
    connector.id,
    '1.0.0',
    jsonb_build_object(
        'name', connector.name,
        'slug', connector.slug,
        'version', '1.0.0',
        'description', listed.description,
        'category', listed.category,
        'status', 'beta',
        'nango', jsonb_build_object('enabled', true, 'provider_key', listed.provider_key),
        'oauth', jsonb_build_object(
            'authorization_url', 'https://api.nango.dev/oauth/' || listed.provider_key,
            'token_url', 'https://api.nango.dev/oauth/' || listed.provider_key || '/token',
            'default_scopes', '[]'::jsonb,
            'authorization_params', '{}'::jsonb
        ),
        'actions', jsonb_build_object(
            'test_connection', jsonb_build_object(
                'name', 'Test Connection',
                'description', 'Test the ' || connector.name || ' connection',
                'method', 'GET',
                'endpoint', '/test'
            )
        ),
        'triggers', '{}'::jsonb
    ),
    timestamp '2025-12-19 16:53:47'
from (
    values
        (
            'b259fc20-0baf-597a-ba6d-e7c3e1bfd048', 'woocommerce',
            'E-commerce & Payments', 'woocommerce', 'WooCommerce: orders, invoices and payments'
        ),
        (
            '50393c82-376b-5b18-8c7e-18d37db3279f', 'wrike',
            'Project Management', 'wrike', 'Wrike: projects and tasks'
        ),
        (
            '8a0642f3-4e0f-573c-9998-5ad51cb2d30f', 'xero',
            'E-commerce & Payments', 'xero', 'Xero: orders, invoices and payments'
        ),
        (
            'ceb23bcb-8f2a-5a7a-a71e-e4e07053f461', 'youtube',
            'Social Media', 'youtube', 'YouTube: posts and audiences'
        ),
        (
            '16b053f9-1261-5c53-ac9e-bca4a053a7f6', 'zendesk',
            'Communication & Collaboration', 'zendesk', 'Zendesk: messages and conversations'
        ),
        (
            'd2858ee2-f695-5d52-ab20-3db6838c7eaa', 'zoho-crm',
            'CRM & Sales', 'zoho', 'Zoho CRM: contacts, deals and sales'
        ),
        (
            '0de99859-1592-51da-bb91-2d53d63cccca', 'zoom',
            'Communication & Collaboration', 'zoom', 'Zoom: messages and conversations'
        )
) as listed (id, slug, category, provider_key, description)
join public.connector on connector.slug = listed.slug
where connector.owner_id is null
    and not exists (
        select
        from public.connectorversion as known
        where known.connector_id = connector.id
            and known.version = '1.0.0'
    )
on conflict do nothing;

-- ActiveCampaign was registered twice in the system this came from: a second row of the same version, which is kept,
-- so that references to either id hold.
insert into public.connectorversion (id, connector_id, version, manifest, created_at)
select
    '87e73ca5-f89e-5309-b434-2ecfe9f6e309',
    first.connector_id,
    first.version,
    first.manifest,
    timestamp '2025-12-19 16:53:47'
from public.connectorversion as first
join public.connector on connector.id = first.connector_id
where connector.slug = 'activecampaign'
    and first.version = '1.0.0'
    and (
        select count(*)
        from public.connectorversion as known
        where known.connector_id = first.connector_id
    ) = 1
on conflict do nothing;
