-- Registers 7 of the 99 platform connectors, as the registry described them then. Runs before the code.
-- millrace: re-runnable
--
-- Mixpanel to Outlook Calendar. The manifests promise one connection test and nothing else; working ones come in later
-- migrations. A connector or a version that is already registered is left alone.

insert into public.connector (id, slug, name, status, latest_version_id, created_at, is_platform)
values
    (
        'adb8b92f-4aa5-5e74-9bb0-adf1662a671c', 'mixpanel', 'Mixpanel', 'beta',
        'c58175cd-78b6-5d33-ae74-41b95904f162', '2025-12-19 16:09:04', true
    ),
    (
        'bfbfbcc8-4d6a-5211-8d20-746cdea85981', 'monday-com', 'Monday.com', 'beta',
        '19c55d90-03dc-594d-a3b5-f716dc63d428', '2025-12-19 16:09:04', true
    ),
    (
        '922986df-7513-5c7c-84da-69f5572789a8', 'netlify', 'Netlify', 'beta',
        'd780a329-8f47-511d-927d-58e2346c7f9f', '2025-12-19 16:09:04', true
    ),
    (
        'a6b2bf6f-8eb8-5961-9f06-6be56e3805b7', 'notion', 'Notion', 'beta',
        '712920fe-b340-5c6c-92ec-5ec94a9f20fd', '2025-12-19 16:09:04', true
    ),
    (
        '5628e9e3-07cd-5c9a-aebc-6fe604006a58', 'onedrive', 'OneDrive', 'beta',
        'c80ebf7b-1e93-53cf-88be-511b9f2ea801', '2025-12-19 16:09:04', true
    ),
    (
        '36e14ec8-f533-53d6-9b19-e3cceb7cb2f5', 'openai', 'OpenAI', 'beta',
        'c2459ef9-7844-5fc5-9fc4-819692f8b839', '2025-12-19 16:09:04', true
    ),
    (
        '680782e1-0fca-5633-a131-3ff2828349f2', 'outlook-calendar', 'Outlook Calendar', 'beta',
        'c88fba9c-d1f1-5559-9bf1-e4413da014ad', '2025-12-19 16:09:04', true
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
    timestamp '2025-12-19 16:09:04'
from (
    values
        (
            'c58175cd-78b6-5d33-ae74-41b95904f162', 'mixpanel',
            'Analytics & Data', 'mixpanel', 'Mixpanel: data and reports'
        ),
        (
            '19c55d90-03dc-594d-a3b5-f716dc63d428', 'monday-com',
            'CRM & Sales', 'monday', 'Monday.com: contacts, deals and sales'
        ),
        (
            'd780a329-8f47-511d-927d-58e2346c7f9f', 'netlify',
            'Development & Code', 'netlify', 'Netlify: code, builds and infrastructure'
        ),
        (
            '712920fe-b340-5c6c-92ec-5ec94a9f20fd', 'notion',
            'Productivity & Notes', 'notion', 'Notion: notes and plans'
        ),
        (
            'c80ebf7b-1e93-53cf-88be-511b9f2ea801', 'onedrive',
            'File Storage & Cloud', 'onedrive', 'OneDrive: stored files'
        ),
        (
            'c2459ef9-7844-5fc5-9fc4-819692f8b839', 'openai',
            'AI & Machine Learning', 'openai', 'OpenAI: models'
        ),
        (
            'c88fba9c-d1f1-5559-9bf1-e4413da014ad', 'outlook-calendar',
            'Calendar & Scheduling', 'microsoft-calendar', 'Outlook Calendar: calendars and appointments'
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
