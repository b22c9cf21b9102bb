"""What several tests need: fakes, moving lists, peers, a terminal."""

from pathlib import Path

# Bodies as the vendor's page and the live gateway have them.
PAYLOADS = Path(__file__).parent / "payloads"
