# Prepares a Windows image for pvhck, and prints its section for hosts.ini.
#
# In an elevated Windows PowerShell 5.1, on Windows 7 (with WMF 5.1) to 11 and Server 2008 R2 to 2025:
#   powershell.exe -ExecutionPolicy Bypass -File prepare.ps1 [-Name win2019-x64] [-User tester]
# What it does: docs/prepare-windows.md. It may be run again: what is already as it should be stays.
param([string] $Name = '', [string] $User = '')

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$script:Subject = 'pvhck'
$script:Rule = 'pvhck-winrm'
$script:Port = 5986
$script:Windows8 = [version] '6.2'

function Write-Step {
    param([string] $Text)
    Write-Output "# $Text" # a comment of hosts.ini: all that is printed may be pasted there
}

# The integrity label S-1-16-12288 is high, 16384 system: an administrator whose token is not filtered.
function Assert-Administrator {
    $groups = @(& whoami.exe /groups /fo csv /nh) -join "`n"
    if ($groups -notmatch 'S-1-16-(12288|16384)\b') {
        throw 'this PowerShell is not elevated: start it by "Run as administrator"'
    }
}

function Get-RegistryValue {
    param([string] $Key, [string] $Name)
    if (Test-Path -LiteralPath $Key) {
        $property = (Get-ItemProperty -LiteralPath $Key).PSObject.Properties[$Name]
        if ($null -ne $property) { $property.Value } else { $null }
    }
}

function Set-RegistryNumber {
    [Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSUseShouldProcessForStateChangingFunctions', '', Justification = 'The script is run to make these changes.')]
    param([string] $Key, [string] $Name, [int] $Value)
    if ((Get-RegistryValue -Key $Key -Name $Name) -ne $Value) {
        $null = New-ItemProperty -LiteralPath $Key -Name $Name -PropertyType 'DWord' -Value $Value -Force
    }
}

# -- certificate

# The newest one of ours that is still good for a year.
function Get-OwnCertificate {
    $store = New-Object -TypeName System.Security.Cryptography.X509Certificates.X509Store -ArgumentList @('My', 'LocalMachine')
    $store.Open('ReadOnly')
    try {
        $store.Certificates | Where-Object { $_.Subject -eq "CN=$script:Subject" -and $_.NotAfter -gt [datetime]::Now.AddYears(1) } |
            Sort-Object -Property NotAfter -Descending | Select-Object -First 1
    } finally {
        $store.Close()
    }
}

# By the enrollment objects of certenroll.dll, which every Windows since Vista has: New-SelfSignedCertificate
# is missing on Windows 7. Numbers are constants of certenroll.h and certcli.h.
function New-OwnCertificate {
    [Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSUseShouldProcessForStateChangingFunctions', '', Justification = 'The script is run to make these changes.')]
    param([version] $Windows)
    $name = New-Object -ComObject X509Enrollment.CX500DistinguishedName
    $name.Encode("CN=$script:Subject", 0) # XCN_CERT_NAME_STR_NONE

    $key = New-Object -ComObject X509Enrollment.CX509PrivateKey
    # WinRM of Windows 7 is known to work with keys of the old kind, TLS 1.3 needs the new kind
    if ($Windows -lt $script:Windows8) {
        $key.ProviderName = 'Microsoft Enhanced RSA and AES Cryptographic Provider'
    } else {
        $key.ProviderName = 'Microsoft Software Key Storage Provider'
    }
    $key.KeySpec = 1 # XCN_AT_KEYEXCHANGE
    $key.Length = 2048
    $key.MachineContext = 1
    $key.ExportPolicy = 0
    $key.Create()

    $serverUse = New-Object -ComObject X509Enrollment.CObjectId
    $serverUse.InitializeFromValue('1.3.6.1.5.5.7.3.1') # server authentication
    $uses = New-Object -ComObject X509Enrollment.CObjectIds
    $uses.Add($serverUse)
    $extension = New-Object -ComObject X509Enrollment.CX509ExtensionEnhancedKeyUsage
    $extension.InitializeEncode($uses)
    $hash = New-Object -ComObject X509Enrollment.CObjectId
    $hash.InitializeFromAlgorithmName(1, 0, 0, 'SHA256') # XCN_CRYPT_HASH_ALG_OID_GROUP_ID

    $request = New-Object -ComObject X509Enrollment.CX509CertificateRequestCertificate
    $request.InitializeFromPrivateKey(2, $key, '') # ContextMachine
    $request.Subject = $name
    $request.Issuer = $name
    # clones are started with clocks that may be behind
    $request.NotBefore = [datetime]::Now.AddDays(-2)
    $request.NotAfter = [datetime]::Now.AddYears(10)
    $request.X509Extensions.Add($extension)
    $request.HashAlgorithm = $hash
    $request.Encode()

    $enrollment = New-Object -ComObject X509Enrollment.CX509Enrollment
    $enrollment.InitializeFromRequest($request)
    $signed = $enrollment.CreateRequest(1) # XCN_CRYPT_STRING_BASE64
    $enrollment.InstallResponse(2, $signed, 1, '') # AllowUntrustedCertificate
}

function Get-Fingerprint {
    param($Certificate)
    $hasher = [Security.Cryptography.SHA256]::Create()
    try {
        [BitConverter]::ToString($hasher.ComputeHash($Certificate.RawData)).Replace('-', '').ToLowerInvariant()
    } finally {
        $hasher.Dispose()
    }
}

# -- WinRM

# DelayedAutostart: Servers start WinRM two minutes after the boot.
function Enable-Service {
    $key = 'HKLM:\SYSTEM\CurrentControlSet\Services\WinRM'
    Set-Service -Name WinRM -StartupType Automatic
    Set-RegistryNumber -Key $key -Name 'DelayedAutostart' -Value 0
    Start-Service -Name WinRM
}

function Set-Listener {
    [Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSUseShouldProcessForStateChangingFunctions', '', Justification = 'The script is run to make these changes.')]
    param([string] $Thumbprint)
    $place = @{
        ResourceURI = 'winrm/config/Listener'
        SelectorSet = @{ Address = '*'; Transport = 'HTTPS' }
        ValueSet    = @{ Hostname = $script:Subject; CertificateThumbprint = $Thumbprint; Port = [string] $script:Port }
    }
    $found = @(Get-WSManInstance -ResourceURI $place.ResourceURI -Enumerate | Where-Object { $_.Transport -eq 'HTTPS' -and $_.Address -eq '*' })
    if ($found.Count -eq 0) {
        $null = New-WSManInstance @place
    } elseif ([string] $found[0].CertificateThumbprint -ne $Thumbprint -or [string] $found[0].Port -ne [string] $script:Port) {
        $null = Set-WSManInstance @place
    }
}

# Windows 7 and 2008 R2 allow five shells of 150 MB, which is too little for large answers.
function Set-Quota {
    [Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSUseShouldProcessForStateChangingFunctions', '', Justification = 'The script is run to make these changes.')]
    param()
    $now = Get-WSManInstance -ResourceURI 'winrm/config/winrs'
    if ([int] $now.MaxShellsPerUser -lt 30 -or [int] $now.MaxMemoryPerShellMB -lt 1024) {
        $null = Set-WSManInstance -ResourceURI 'winrm/config/winrs' -ValueSet @{ MaxShellsPerUser = '30'; MaxMemoryPerShellMB = '1024' }
    }
}

# By netsh, which every Windows has; profile=any, because a new PV adapter is Public.
function Set-FirewallRule {
    [Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSUseShouldProcessForStateChangingFunctions', '', Justification = 'The script is run to make these changes.')]
    param()
    $null = & netsh.exe advfirewall firewall delete rule "name=$script:Rule" # ends with 1 if there is none
    $said = @(& netsh.exe advfirewall firewall add rule "name=$script:Rule" dir=in action=allow protocol=TCP "localport=$script:Port" profile=any)
    if ($LASTEXITCODE -ne 0) {
        throw "netsh.exe could not add the firewall rule (exit code $LASTEXITCODE): $said"
    }
}

# -- the section

function Write-Section {
    param([string] $Template, [string] $Account, $System, [string] $Fingerprint)
    $width = @(Get-CimInstance -Namespace root/cimv2 -ClassName Win32_Processor)[0].AddressWidth
    $caption = ($System.Caption -replace '[^\x20-\x7e]', '').Trim()
    # 2 is UEFI; older systems do not have the value and know BIOS only, as far as Xen starts them
    $firmware = Get-RegistryValue -Key 'HKLM:\SYSTEM\CurrentControlSet\Control' -Name 'PEFirmwareType'
    Write-Output "[template $Template]"
    Write-Output 'guest = windows'
    Write-Output "image = templates/$Template.qcow2"
    Write-Output "os = $caption"
    Write-Output "arch = $(if ($width -eq 64) { 'x64' } else { 'x86' })"
    Write-Output "firmware = $(if ($firmware -eq 2) { 'uefi' } else { 'bios' })"
    Write-Output "user = $Account"
    Write-Output "secret = env:PVHCK_$($Template.ToUpperInvariant() -replace '[^A-Z0-9]', '_')"
    Write-Output "certificate = sha256:$Fingerprint"
    if ([version] $System.Version -lt $script:Windows8) {
        Write-Output 'legacy_tls = yes'
    }
}

if (-not $Name) {
    $Name = "$env:COMPUTERNAME".ToLowerInvariant()
}
if (-not $User) {
    $User = "$env:USERNAME"
}
if ($Name -notmatch '^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$') {
    throw "'$Name' cannot be a template's name: at most 40 of A-Z a-z 0-9 . _ -, beginning with a letter or digit"
}
Assert-Administrator
$system = Get-CimInstance -Namespace root/cimv2 -ClassName Win32_OperatingSystem

Enable-Service
Write-Step 'WinRM starts with Windows'
$certificate = Get-OwnCertificate
if ($null -eq $certificate) {
    $null = New-OwnCertificate -Windows $system.Version # whatever its objects give back is not for hosts.ini
    $certificate = Get-OwnCertificate
}
if ($null -eq $certificate) {
    throw "the certificate CN=$script:Subject was made, but is not in the store LocalMachine\My"
}
Set-Listener -Thumbprint $certificate.Thumbprint
Set-Quota
Write-Step "WinRM listens on port $script:Port with the certificate CN=$script:Subject"
Set-FirewallRule
Write-Step "the firewall lets it through on every kind of network (rule $script:Rule)"
Set-RegistryNumber -Key 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System' -Name 'LocalAccountTokenFilterPolicy' -Value 1
Write-Step 'remote logons of local administrators get their full token'
# Windows 8 and later do it anyway (learn.microsoft.com, "Forcing a System Crash by NMI")
Set-RegistryNumber -Key 'HKLM:\SYSTEM\CurrentControlSet\Control\CrashControl' -Name 'NMICrashDump' -Value 1
Write-Step 'an NMI makes a dump: what pvhck does to a guest that hangs'
Write-Step 'The section for hosts.ini. Put the image where `image` says, relative to the host''s storage:'
Write-Section -Template $Name -Account $User -System $system -Fingerprint (Get-Fingerprint -Certificate $certificate)
