"""Parts of the page that gradio lacks, each with its markup, style and script."""
