"""The named queries: one commented `.sql` file each; `exr_inspector.catalog_queries` reads them."""
