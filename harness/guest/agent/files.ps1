# Files: by .NET, which takes paths as they are; commands would see patterns in them.

function ConvertTo-PvHex {
    param([byte[]] $Bytes)
    [BitConverter]::ToString($Bytes).Replace('-', '').ToLowerInvariant()
}

# Opened so that whoever has the file open may go on writing to it.
function Open-PvFile {
    param([string] $Path)
    [IO.FileStream]::new($Path, [IO.FileMode]::Open, [IO.FileAccess]::Read, [IO.FileShare] 'ReadWrite, Delete')
}

function Get-PvSha256 {
    param([string] $Path)
    $hasher = [Security.Cryptography.SHA256]::Create()
    $stream = Open-PvFile $Path
    try {
        ConvertTo-PvHex $hasher.ComputeHash($stream)
    } finally {
        $stream.Dispose()
        $hasher.Dispose()
    }
}

function New-PvFolder {
    param([string] $Folder)
    if ($Folder) {
        $null = [IO.Directory]::CreateDirectory($Folder)
    }
}

function Get-PvFile {
    param([string] $Path)
    $hash = Get-PvSha256 $Path
    [ordered]@{ path = $Path; size = [IO.FileInfo]::new($Path).Length; sha256 = $hash }
}

function Read-PvFile {
    param([string] $Path, [long] $Offset, [long] $Length)
    if ($Offset -lt 0 -or $Length -lt 0) {
        Stop-PvOperation 'bad-parameter' 'offset and length must not be negative'
    }
    $stream = Open-PvFile $Path
    try {
        $size = $stream.Length
        $bytes = [byte[]]::new([Math]::Max(0, [Math]::Min($Length, $size - $Offset)))
        $null = $stream.Seek($Offset, 'Begin')
        $have = 0
        while ($have -lt $bytes.Length -and ($got = $stream.Read($bytes, $have, $bytes.Length - $have)) -gt 0) {
            $have += $got
        }
    } finally {
        $stream.Dispose()
    }
    [ordered]@{ path = $Path; size = $size; content = [Convert]::ToBase64String($bytes, 0, $have) }
}

function Write-PvFile {
    param([string] $Path, [string] $Content)
    try {
        $bytes = [Convert]::FromBase64String($Content)
    } catch [FormatException] {
        Stop-PvOperation 'bad-parameter' 'content is not base64'
    }
    New-PvFolder ([IO.Path]::GetDirectoryName($Path))
    [IO.File]::WriteAllBytes($Path, $bytes)
    Get-PvFile $Path
}

function Remove-PvFile {
    param([string] $Path)
    if (Test-Path -LiteralPath $Path) {
        Remove-Item -LiteralPath $Path -Recurse -Force
    }
}

# WebClient, because it exists everywhere and draws no progress bar. The file gets its name when it is whole.
function Receive-PvFile {
    param([string] $Url, [string] $Path, [string] $Sha256)
    New-PvFolder ([IO.Path]::GetDirectoryName($Path))
    $part = "$Path.part"
    $client = [Net.WebClient]::new()
    $client.Proxy = $null
    try {
        $client.DownloadFile($Url, $part)
        $hash = Get-PvSha256 $part
        if ($hash -ne $Sha256) {
            Stop-PvOperation 'command-failed' "what came has SHA-256 $hash, not $Sha256"
        }
        [IO.File]::Delete($Path)
        [IO.File]::Move($part, $Path)
    } finally {
        $client.Dispose()
        [IO.File]::Delete($part)
    }
    Get-PvFile $Path
}

# HttpWebRequest, because WebClient.UploadFile would hold the file in memory.
function Send-PvFile {
    param([string] $Path, [string] $Url)
    $stream = Open-PvFile $Path
    try {
        $request = [Net.HttpWebRequest] [Net.WebRequest]::Create($Url)
        $request.Method = 'PUT'
        $request.Proxy = $null
        $request.AllowWriteStreamBuffering = $false
        $request.ContentLength = $stream.Length
        $target = $request.GetRequestStream()
        $stream.CopyTo($target)
        $target.Dispose()
        $request.GetResponse().Dispose()
    } finally {
        $stream.Dispose()
    }
    Get-PvFile $Path
}

function Expand-PvArchive {
    param([string] $Path, [string] $Folder)
    Add-Type -AssemblyName System.IO.Compression.FileSystem
    Remove-PvFile $Folder
    New-PvFolder $Folder
    $zip = [type] 'System.IO.Compression.ZipFile' # there since the line above, not before
    $zip::ExtractToDirectory($Path, $Folder)
}
